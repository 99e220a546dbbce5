"""What a model has learnt about speech comes back from other tools: rows kept bit by bit, or refused."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.toy_text_models import export, import_text_model, tensors, text_model

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


def trained_export(folder: Path, *, tied: bool) -> tuple[Path, Vocabulary]:
    """An export whose rows all differ from what any import would draw."""
    text_model(folder / "text", "llama", tied=tied)
    base, vocabulary = import_text_model(folder)
    hf = export(folder, base)
    held = tensors(hf)
    for name in EMBEDDINGS:
        if name in held:
            held[name] = held[name] + torch.arange(vocabulary.size)[:, None]
    save_file(held, hf / "model.safetensors", metadata={"format": "pt"})
    return hf, vocabulary


def as_it_is(hf: Path, folder: Path) -> Path:
    return shutil.copytree(hf, folder)


def without_vocabulary_json(hf: Path, folder: Path) -> Path:
    shutil.copytree(hf, folder)
    for name in ("vocabulary.json", "manifest.json"):
        (folder / name).unlink()
    return folder


def saved_by_transformers(hf: Path, folder: Path, *, rows: int | None = None, multiple: int | None = None) -> Path:
    """Only what `save_pretrained` writes, perhaps with another number of rows."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(hf), AutoTokenizer.from_pretrained(hf)
    if rows is not None or multiple is not None:
        model.resize_token_embeddings(rows or len(tokenizer), pad_to_multiple_of=multiple, mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def padded_to_a_multiple(hf: Path, folder: Path) -> Path:
    return saved_by_transformers(hf, folder, multiple=256)


def cut_to_its_tokenizer(hf: Path, folder: Path) -> Path:
    return saved_by_transformers(padded_to_a_multiple(hf, folder.with_name("padded")), folder, rows=281)


def with_a_bare_tokenizer_config(hf: Path, folder: Path) -> Path:
    """A tool that wrote its own tokenizer_config.json: only the tokens themselves are left."""
    saved_by_transformers(hf, folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    return folder


WAYS = [
    as_it_is,
    without_vocabulary_json,
    saved_by_transformers,
    padded_to_a_multiple,
    cut_to_its_tokenizer,
    with_a_bare_tokenizer_config,
]


def imported(folder: Path, model: Path, vocabulary: Path) -> Path:
    """base2/, or an error."""
    convert_from_hf(ConvertFromHfConfig(model=model, vocabulary=vocabulary, output=folder / "base2"))
    return folder / "base2"


def require_same_rows(folder: Path, base: Path, before: dict[str, Tensor]) -> None:
    after = tensors(export(folder, base, name="hf2"))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_export_that_comes_back_keeps_every_row(tmp_path: Path, way, tied: bool) -> None:
    hf, vocabulary = trained_export(tmp_path, tied=tied)
    before = tensors(hf)
    base = imported(tmp_path, way(hf, tmp_path / "back"), tmp_path / "vocabulary")
    require_same_rows(tmp_path, base, before)
    facts = read_manifest(base).facts
    assert (facts["text_rows_read"], facts["special_rows_read"], facts["speech_rows_read"]) == (257, 4, 20)
    assert facts["special_rows_drawn"] == facts["speech_rows_drawn"] == 0
    assert Vocabulary.load(base) == vocabulary


@pytest.mark.parametrize("way", WAYS[:-1], ids=lambda way: way.__name__)
def test_the_vocabulary_comes_back_too(tmp_path: Path, way) -> None:
    hf, vocabulary = trained_export(tmp_path, tied=True)
    back = way(hf, tmp_path / "back")
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "again", text=str(back), codebook_size=20))
    assert Vocabulary.load(tmp_path / "again").fingerprint == vocabulary.fingerprint
    require_same_rows(tmp_path, imported(tmp_path, back, tmp_path / "again"), tensors(hf))


def test_of_tokens_alone_a_vocabulary_is_made_that_keeps_every_row(tmp_path: Path) -> None:
    hf, vocabulary = trained_export(tmp_path, tied=True)
    before = tensors(hf)
    back = with_a_bare_tokenizer_config(hf, tmp_path / "back")
    shutil.rmtree(tmp_path / "vocabulary")
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", text=str(back), codebook_size=20))
    assert Vocabulary.load(tmp_path / "vocabulary").token_ids == vocabulary.token_ids
    require_same_rows(tmp_path, imported(tmp_path, back, tmp_path / "vocabulary"), before)


def test_a_text_model_says_what_was_read_and_what_was_drawn(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True, padding_rows=7)
    base, _ = import_text_model(tmp_path)
    facts = read_manifest(base).facts
    assert facts["text_rows_read"] == 257 and facts["rows_left_out"] == 7
    assert (facts["special_rows_read"], facts["special_rows_drawn"]) == (0, 4)
    assert (facts["speech_rows_read"], facts["speech_rows_drawn"]) == (0, 20)


def test_tokens_that_were_added_since_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    before = tensors(hf)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(hf), AutoTokenizer.from_pretrained(hf)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "back")
    with caplog.at_level(logging.WARNING):
        base = imported(tmp_path, tmp_path / "back", tmp_path / "vocabulary")
    assert "the vocabulary lacks <|pad|>" in caplog.text
    require_same_rows(tmp_path, base, before)
    assert read_manifest(base).facts["rows_left_out"] == 1


def test_rows_that_were_cut_off_are_missed(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    back = saved_by_transformers(hf, tmp_path / "back", rows=270)
    with pytest.raises(ValueError, match=r"its tokenizer has 281 ids, but its embedding 270 rows"):
        imported(tmp_path, back, tmp_path / "vocabulary")
    assert not (tmp_path / "base2").exists()


def test_an_export_that_was_fine_tuned_in_its_own_folder_is_imported_as_it_is_now(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its manifest still describes what was exported."""
    text_model(tmp_path / "text", "llama", tied=True)
    base, _ = import_text_model(tmp_path)
    hf = export(tmp_path, base)
    imported(tmp_path, hf, tmp_path / "vocabulary")
    assert "changed since the export" not in caplog.text
    save_file({name: tensor + 1 for name, tensor in tensors(hf).items()}, hf / "model.safetensors")
    with pytest.raises(ValueError, match="base2 exists but was made from other inputs"):
        imported(tmp_path, hf, tmp_path / "vocabulary")
    shutil.rmtree(tmp_path / "base2")
    require_same_rows(tmp_path, imported(tmp_path, hf, tmp_path / "vocabulary"), tensors(hf))
    assert "hf: model.safetensors changed since the export: trained on since, or damaged" in caplog.text


def test_rows_of_speech_whose_tokenizer_was_replaced_are_refused(tmp_path: Path) -> None:
    """As a merge leaves it that takes its tokenizer from the text model."""
    hf, _ = trained_export(tmp_path, tied=True)
    AutoModelForCausalLM.from_pretrained(hf).save_pretrained(tmp_path / "back")
    AutoTokenizer.from_pretrained(tmp_path / "text").save_pretrained(tmp_path / "back")
    shutil.copy(tmp_path / "text" / "tokenizer.json", tmp_path / "back")
    with pytest.raises(ValueError, match=r"has rows for 281 ids, .* not their tokens in its tokenizer") as error:
        imported(tmp_path, tmp_path / "back", tmp_path / "vocabulary")
    assert "\n" not in str(error.value) and not (tmp_path / "base2").exists()


def test_a_model_whose_speech_was_cut_off_is_a_text_model_again(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    saved_by_transformers(hf, tmp_path / "back", rows=257)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "text" / name, tmp_path / "back")
    facts = read_manifest(imported(tmp_path, tmp_path / "back", tmp_path / "vocabulary")).facts
    assert (facts["text_rows_read"], facts["speech_rows_read"], facts["speech_rows_drawn"]) == (257, 0, 20)
    settings = BuildVocabularyConfig(output=tmp_path / "again", text=str(tmp_path / "back"), codebook_size=30)
    with pytest.raises(ValueError, match="remove speech_vocabulary from its configuration"):
        build_vocabulary(settings)
    path = tmp_path / "back" / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "speech_vocabulary"}))
    build_vocabulary(settings)
    assert Vocabulary.load(tmp_path / "again").speech_ids == range(261, 291)


def test_tokenizer_and_weights_of_two_exports_are_refused(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    build_vocabulary(
        BuildVocabularyConfig(
            output=tmp_path / "other", text=str(tmp_path / "text"), codebook_size=20, speech_fingerprint="x"
        )
    )
    back = without_vocabulary_json(hf, tmp_path / "back")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "other" / name, back)
    with pytest.raises(ValueError, match=r"tokenizer_config.json and config.json store different vocabularies, \w+"):
        imported(tmp_path, back, tmp_path / "other")


def test_tokens_of_ours_at_other_ids_are_refused(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    build_vocabulary(
        BuildVocabularyConfig(
            output=tmp_path / "other", text=str(tmp_path / "text"), codebook_size=20, speakers=["anna"]
        )
    )
    back = without_vocabulary_json(hf, tmp_path / "back")
    with pytest.raises(ValueError, match=r"its tokenizer has .* at id \d+, .*other at \d+") as error:
        imported(tmp_path, back, tmp_path / "other")
    assert "\n" not in str(error.value) and not (tmp_path / "base2").exists()


def test_codes_of_another_speech_tokenizer_are_refused(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    build_vocabulary(
        BuildVocabularyConfig(
            output=tmp_path / "other", text=str(tmp_path / "text"), codebook_size=20, speech_fingerprint="another"
        )
    )
    message = r"knows 20 codes of speech tokenizer unnamed, .*other has 20 of another"
    for way in (as_it_is, without_vocabulary_json):
        with pytest.raises(ValueError, match=message) as error:
            imported(tmp_path, way(hf, tmp_path / way.__name__), tmp_path / "other")
        assert "\n" not in str(error.value) and not (tmp_path / "base2").exists()


def test_a_model_with_tokens_for_audio_of_its_own_keeps_their_rows(tmp_path: Path) -> None:
    """As GLM-4.5 has: only a beginning and an end of audio; the other tokens are new."""
    text_model(tmp_path / "text", "llama", tied=False, padding_rows=9)
    tokenizer = Tokenizer.from_file(str(tmp_path / "text" / "tokenizer.json"))
    for token in ("<|user|>", *SPECIAL_TOKENS[:2]):
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
    tokenizer.save(str(tmp_path / "text" / "tokenizer.json"))
    base, vocabulary = import_text_model(tmp_path)
    after, before = tensors(export(tmp_path, base)), tensors(tmp_path / "text")
    for name in EMBEDDINGS:
        assert torch.equal(after[name][:260], before[name][:260])
    facts = read_manifest(base).facts
    assert (facts["text_rows_read"], facts["special_rows_read"], facts["special_rows_drawn"]) == (258, 2, 2)
    assert (facts["speech_rows_read"], facts["speech_rows_drawn"]) == (0, 20)
    assert [vocabulary.special_id(token) for token in SPECIAL_TOKENS] == [258, 259, 260, 261]
    back = without_vocabulary_json(tmp_path / "hf", tmp_path / "back")
    require_same_rows(tmp_path, imported(tmp_path, back, tmp_path / "vocabulary"), after)


def test_a_folder_that_was_saved_again_in_one_file_is_imported_as_transformers_loads_it(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    back = tmp_path / "back"
    model = AutoModelForCausalLM.from_pretrained(hf)
    model.save_pretrained(back, max_shard_size="50KB")
    AutoTokenizer.from_pretrained(hf).save_pretrained(back)
    with torch.no_grad():
        model.model.norm.weight.add_(5)
    model.save_pretrained(back)
    assert (back / "model.safetensors.index.json").is_file()
    require_same_rows(tmp_path, imported(tmp_path, back, tmp_path / "vocabulary"), tensors(back))


@pytest.mark.parametrize("made_here", [True, False])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "README.md"])
def test_an_import_from_other_files_beside_the_weights_is_another_import(
    tmp_path: Path, name: str, made_here: bool
) -> None:
    """A tokenizer decides which rows are kept: one that is put right later must not find the import already done."""
    hf, _ = trained_export(tmp_path, tied=True)
    if not made_here:
        (hf / "manifest.json").unlink()
    base = imported(tmp_path, hf, tmp_path / "vocabulary")
    assert imported(tmp_path, hf, tmp_path / "vocabulary") == base, "unchanged, it is already done"
    (hf / name).write_text((hf / name).read_text() + "\n")
    with pytest.raises(ValueError, match="base2 exists but was made from other inputs"):
        imported(tmp_path, hf, tmp_path / "vocabulary")


def without_any_name(hf: Path, folder: Path, text: Path, *, multiple: int | None = None) -> Path:
    """An export that has the tokenizer of its text model, and whose configuration knows nothing of speech."""
    saved_by_transformers(hf, folder, multiple=multiple)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(text / name, folder)
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "speech_vocabulary"}))
    return folder


@pytest.mark.parametrize("multiple", [None, 8, 64, 128, 1000])
def test_rows_of_speech_that_nothing_names_are_refused(tmp_path: Path, multiple: int | None) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    back = without_any_name(hf, tmp_path / "back", tmp_path / "text", multiple=multiple)
    with pytest.raises(ValueError, match=r"rows more than its tokenizer has ids.* tokenizer back, or.* cut") as error:
        imported(tmp_path, back, tmp_path / "vocabulary")
    assert "\n" not in str(error.value) and not (tmp_path / "base2").exists()


@pytest.mark.parametrize("kind", ["drawn", "zero", "one row again and again"])
@pytest.mark.parametrize("padding", [7, 23, 40, 63, 127, 255])
def test_padding_of_a_text_model_is_no_speech(tmp_path: Path, padding: int, kind: str) -> None:
    """Also where it has as many rows as the vocabulary with speech, 281, and more."""
    text_model(tmp_path / "text", "llama", tied=True, padding_rows=padding)
    held = tensors(tmp_path / "text")
    rows = held["model.embed_tokens.weight"]
    if kind != "drawn":
        rows[257:] = 0 if kind == "zero" else rows[:257].mean(dim=0)
        save_file(held, tmp_path / "text" / "model.safetensors", metadata={"format": "pt"})
    facts = read_manifest(import_text_model(tmp_path)[0]).facts
    assert (facts["text_rows_read"], facts["speech_rows_drawn"], facts["rows_left_out"]) == (257, 20, padding)


def test_more_rows_than_any_padding_has_are_refused(tmp_path: Path) -> None:
    """With a codebook of usual size, the number of rows alone tells."""
    text_model(tmp_path / "text", "llama", tied=True, padding_rows=700)
    settings = BuildVocabularyConfig(output=tmp_path / "vocabulary", text=str(tmp_path / "text"), codebook_size=600)
    build_vocabulary(settings)
    with pytest.raises(ValueError, match="700 rows more than its tokenizer has ids"):
        imported(tmp_path, tmp_path / "text", tmp_path / "vocabulary")


def test_the_token_that_differs_is_named(tmp_path: Path) -> None:
    hf, _ = trained_export(tmp_path, tied=True)
    back = without_vocabulary_json(hf, tmp_path / "back")
    content = json.loads((back / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        token["content"] = {"<|audio_3|>": "<|user|>"}.get(token["content"], token["content"])
    (back / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"but no <\|audio_3\|>, which .*vocabulary has at 264"):
        imported(tmp_path, back, tmp_path / "vocabulary")
