"""Hugging Face, ours, a step of the real training loop, Hugging Face, ours, Hugging Face: no bit is lost."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from tokenizers import AddedToken, Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from megatron_speech.checkpoint.hf_config import read_model_config
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.training.run import pretrain
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Vocabulary
from tests.toy_runs import make_config, make_sources
from tests.toy_text_models import FAMILIES, chat_model, export, import_text_model, templates, tensors, text_model

EMBEDDING = "model.embed_tokens.weight"


def trained(folder: Path, *, steps: int = 1) -> Path:
    """From text/ to vocabulary/ and base/, a run of `steps` steps, and its export hf/."""
    base, vocabulary = import_text_model(folder)
    sources = make_sources(folder, vocabulary=vocabulary)
    for name, licence in (("text", "CC-BY-SA-4.0"), ("paired", "CC0-1.0")):
        path = folder / "packed" / name / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "licences": [licence], "languages": ["en", "de"]}))
    model = dataclasses.replace(read_model_config(folder / "text"), base=str(base))
    config = make_config(folder / "run", sources, steps=steps, model=model, precision=PrecisionConfig(dtype="float32"))
    pretrain(config, world=(0, 1))
    return export(folder, folder / "run")


def again(folder: Path, hf: Path, vocabulary: Path, name: str) -> Path:
    """From an export to a second base, and its export."""
    convert_from_hf(ConvertFromHfConfig(model=hf, vocabulary=vocabulary, output=folder / f"base of {name}"))
    return export(folder, folder / f"base of {name}", name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_step_has_taught_comes_back_bit_by_bit(tmp_path: Path, family: str, tied: bool) -> None:
    text_model(tmp_path / "text", family, tied=tied)
    hf = trained(tmp_path)
    learnt, before = tensors(hf), tensors(export(tmp_path, tmp_path / "base", "untrained"))
    speech = slice(Vocabulary.load(hf).speech_ids.start, None)
    assert not torch.equal(learnt[EMBEDDING][speech], before[EMBEDDING][speech]), "the step taught nothing"
    assert ("lm_head.weight" in learnt) is not tied
    for name, vocabulary in (("with its vocabulary", tmp_path / "vocabulary"), ("with its own folder", hf)):
        after = tensors(again(tmp_path, hf, vocabulary, name))
        assert after.keys() == learnt.keys() and all(torch.equal(after[key], learnt[key]) for key in learnt)


def test_tokens_for_audio_that_a_model_has_of_its_own_are_trained_where_they_are(tmp_path: Path) -> None:
    """As GLM-4-Voice has them: speech between other tokens, specials of ours before it, among it and behind it."""
    text_model(tmp_path / "text", "glm", tied=False, padding_rows=40)
    tokenizer = Tokenizer.from_file(str(tmp_path / "text" / "tokenizer.json"))
    names = ["<|user|>", END_OF_AUDIO, *(f"<|audio_{code}|>" for code in range(20)), "<|assistant|>", BEGIN_OF_AUDIO]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    tokenizer.save(str(tmp_path / "text" / "tokenizer.json"))
    hf = trained(tmp_path)
    vocabulary = Vocabulary.load(hf)
    assert vocabulary.speech_ids == range(259, 279) and vocabulary.size == 283
    done = json.loads((tmp_path / "run" / "done.json").read_text())
    assert done["tokens"]["speech"] > 0 and done["losses"]["paired"]["speech"] > 0
    learnt, before = tensors(hf), tensors(tmp_path / "text")
    untrained = tensors(export(tmp_path, tmp_path / "base", "untrained"))
    assert torch.equal(untrained[EMBEDDING][:281], before[EMBEDDING][:281])
    moved = (learnt[EMBEDDING] != untrained[EMBEDDING]).any(1)
    assert moved[259:279].any()
    after = tensors(again(tmp_path, hf, tmp_path / "vocabulary", "last"))
    assert all(torch.equal(after[name], learnt[name]) for name in learnt)


def test_a_chat_model_stays_one(tmp_path: Path) -> None:
    chat_model(tmp_path / "text")
    hf = trained(tmp_path)
    for part in (AutoModelForCausalLM, AutoTokenizer):  # fine-tuned elsewhere: only what transformers writes is left
        part.from_pretrained(hf).save_pretrained(tmp_path / "elsewhere")
    build_vocabulary(
        BuildVocabularyConfig(output=tmp_path / "recovered", text=str(tmp_path / "elsewhere"), codebook_size=20)
    )
    shutil.rmtree(tmp_path / "vocabulary")
    (tmp_path / "recovered").rename(tmp_path / "vocabulary")
    last = again(tmp_path, tmp_path / "elsewhere", tmp_path / "vocabulary", "last")
    assert all(torch.equal(tensor, tensors(hf)[name]) for name, tensor in tensors(last).items())
    wanted = templates(AutoTokenizer.from_pretrained(tmp_path / "text"))
    for each in (hf, last):
        assert templates(AutoTokenizer.from_pretrained(each)) == wanted
        assert GenerationConfig.from_pretrained(each).eos_token_id == [258, 256]


def test_the_card_says_what_a_model_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    (tmp_path / "text" / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [fr, no]\n---\n# A model\n")
    for name in ("LICENSE", "NOTICE.txt", "Licence-Weights.md", "use_policy.md"):
        (tmp_path / "text" / name).write_text(f"{name} of the base\n")
    hf = trained(tmp_path, steps=3)
    for gone in ("base", "packed", "documents"):  # the run folder alone is needed
        shutil.rmtree(tmp_path / gone)
    assert_card(export(tmp_path, tmp_path / "run", "later"))
    assert_card(hf)
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", (hf / "README.md").read_text(), re.DOTALL)
    names: dict[str, list[int]] = {}
    exec(snippet, names)
    assert all(0 <= code < 20 for code in names["codes"])


def assert_card(hf: Path) -> None:
    card = ModelCard.load(hf / "README.md")
    assert card.data.license == "apache-2.0" and card.data.base_model == "text"
    assert card.data.language == ["fr", "no", "en", "de"]
    run = hf.parent / "run"
    tokens = json.loads((run / "done.json").read_text())["tokens"]
    validation = json.loads((run / "validation.jsonl").read_text().splitlines()[-1])["losses"]["text"]["text"]
    for said in (
        f"# {hf.name}\n",
        f"3 steps; tokens that bore loss: {tokens['text']:,} text tokens, {tokens['speech']:,} speech tokens.",
        "| text | text | CC-BY-SA-4.0 | en, de |",
        "| paired | synthesis | CC0-1.0 | en, de |",
        f"| text, text | 3 | {validation:.3f} |",
        "skip_special_tokens=True",
        "| 0 to 256 | text tokenizer: text |",
    ):
        assert said in card.content, said
    for name in ("LICENSE", "NOTICE.txt", "Licence-Weights.md", "use_policy.md"):
        assert (hf / name).read_text() == f"{name} of the base\n"


def test_an_export_names_the_export_that_it_was_made_from(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    base, _ = import_text_model(tmp_path)
    last = again(tmp_path, export(tmp_path, base), tmp_path / "vocabulary", "last")
    card = ModelCard.load(last / "README.md")
    assert card.data.base_model == "hf" and card.data.license == "unknown"
    assert "**hf** (itself made from text)" in card.content


def test_a_model_from_scratch_claims_no_base(tmp_path: Path) -> None:
    text_model(tmp_path / "text", "llama", tied=True)
    _, vocabulary = import_text_model(tmp_path)
    config = make_config(
        tmp_path / "run", make_sources(tmp_path, vocabulary=vocabulary), steps=1,
        model=read_model_config(tmp_path / "text"), precision=PrecisionConfig(dtype="float32"),
    )  # fmt: skip
    pretrain(config, world=(0, 1))
    card = ModelCard.load(export(tmp_path, tmp_path / "run") / "README.md")
    assert card.data.base_model is None and "from random weights" in card.content
