"""Vocabularies over tokenizers that have tokens of ours already: every token keeps its id, or the cause is named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import SPECIAL_TOKENS, Vocabulary

BEGIN, END, RECOGNIZE, SYNTHESIZE = SPECIAL_TOKENS


def codes(count: int) -> list[str]:
    return [f"<|audio_{code}|>" for code in range(count)]


def text_folder(folder: Path, tokens: Sequence[str], *, special: bool = True) -> Path:
    """A byte tokenizer with further tokens from id 257 on."""
    TextTokenizer.load("bytes").save(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(token, special=special, normalized=False) for token in tokens])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def vocabulary_of(folder: Path, text: Path, **settings: Any) -> Vocabulary:
    config: dict[str, Any] = {"text": str(text), "codebook_size": 20, **settings}
    build_vocabulary(BuildVocabularyConfig(output=folder, **config))
    return Vocabulary.load(folder)


@pytest.mark.parametrize("special", [True, False])
def test_a_model_with_all_tokens_for_audio_keeps_every_id(tmp_path: Path, special: bool) -> None:
    tokens = ["<|user|>", BEGIN, "<|reserved|>", END, *codes(20), RECOGNIZE, "<|assistant|>", SYNTHESIZE]
    text = text_folder(tmp_path / "text", tokens, special=special)
    vocabulary = vocabulary_of(tmp_path / "vocabulary", text)
    assert vocabulary.size == vocabulary.num_text_ids == 257 + len(tokens)
    assert vocabulary.speech_ids == range(261, 281)
    assert [vocabulary.special_id(token) for token in SPECIAL_TOKENS] == [258, 260, 281, 283]
    ours = TextTokenizer.load(tmp_path / "vocabulary")
    spelt = "<|audio_5|> <|begin_of_audio|>"
    assert vocabulary.text_mask(256) and set(ours.encode(spelt)) <= set(range(256)), "spelt out in a text, it is text"
    theirs = AutoTokenizer.from_pretrained(tmp_path / "vocabulary")
    assert theirs(BEGIN + "<|audio_5|>").input_ids == [258, 266] and len(theirs) == vocabulary.size


def test_only_the_tokens_that_a_model_lacks_get_new_ids(tmp_path: Path) -> None:
    text = text_folder(tmp_path / "text", ["<|user|>", END, "<|assistant|>", BEGIN])
    vocabulary = vocabulary_of(tmp_path / "vocabulary", text)
    assert dict(vocabulary.mapped_ids) == {BEGIN: 260, END: 258}
    assert [vocabulary.special_id(token) for token in (RECOGNIZE, SYNTHESIZE)] == [261, 262]
    assert vocabulary.speech_ids == range(263, 283) and vocabulary.size == 283
    facts = json.loads((tmp_path / "vocabulary" / "manifest.json").read_text())["facts"]
    assert facts["mapped_ids"] == {BEGIN: 260, END: 258}


def test_new_specials_may_lie_behind_speech(tmp_path: Path) -> None:
    vocabulary = vocabulary_of(tmp_path / "vocabulary", text_folder(tmp_path / "text", [BEGIN, *codes(20)]))
    assert vocabulary.speech_ids == range(258, 278)
    assert [vocabulary.special_id(token) for token in SPECIAL_TOKENS] == [257, 278, 279, 280]
    assert TextTokenizer.load(tmp_path / "vocabulary").backend.token_to_id(SYNTHESIZE) == 280


def test_text_alone_leaves_tokens_for_audio_to_the_text_tokenizer(tmp_path: Path) -> None:
    vocabulary = vocabulary_of(tmp_path / "v", text_folder(tmp_path / "text", codes(20)), codebook_size=0)
    assert vocabulary.num_text_ids == 277 and vocabulary.mapped_ids == () and not len(vocabulary.speech_ids)


def test_holes_among_the_ids_are_no_matter_where_nothing_has_to_be_added(tmp_path: Path) -> None:
    def with_holes(values: dict[str, Any]) -> None:
        values["model"]["vocab"] |= {token: 300 + number for number, token in enumerate([*SPECIAL_TOKENS, *codes(20)])}
        values["added_tokens"][0]["id"] = 256 + 24  # behind as many as the model has

    vocabulary = vocabulary_of(tmp_path / "v", edited(text_folder(tmp_path / "text", []), with_holes))
    assert vocabulary.speech_ids == range(304, 324) and vocabulary.size == 324
    assert TextTokenizer.load(tmp_path / "v").size == 324


def edited(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    """`folder` with its tokenizer.json changed."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))
    return folder


def _hole_before_added_token(values: dict[str, Any]) -> None:
    values["added_tokens"][-1]["id"] += 40


def _hole_in_the_model(values: dict[str, Any]) -> None:
    values["model"]["vocab"]["far"] = 400
    for token in values["added_tokens"]:
        token["id"] += 1


def _holes_before_speech(values: dict[str, Any]) -> None:
    """`tokenizers` would put new tokens behind it now, and into the holes when the file is loaded again."""
    far = {token: 1300 + number for number, token in enumerate(codes(20))}
    values["model"]["vocab"] |= far
    values["added_tokens"][0]["id"] = 256 + 20
    flags = {key: value for key, value in values["added_tokens"][0].items() if key not in ("id", "content")}
    values["added_tokens"] += [{"id": number, "content": token, **flags} for token, number in far.items()]


@pytest.mark.parametrize(
    ("tokens", "edit", "message"),
    [
        (codes(12), None, r"has 12 tokens <\|audio_k\|>, but no <\|audio_12\|> for a codebook of 20"),
        (codes(20)[:7] + codes(20)[8:], None, r"has 19 tokens <\|audio_k\|>, but no <\|audio_7\|>"),
        (codes(30), None, r"has 30 tokens <\|audio_k\|>, more than a codebook of 20"),
        (
            [*codes(9), "<|user|>", *codes(20)[9:]],
            None,
            r"<\|audio_9\|> has id 267, 266 would follow its neighbours; speech tokens must have consecutive ids",
        ),
        (["<|user|>"], _hole_before_added_token, r"token <\|user\|> has id 297, but is loaded as 257: .* have holes"),
        ([], _holes_before_speech, r"its ids, up to 1319, have holes .* \(<\|begin_of_audio\|> at 277, not at 1320\)"),
        (
            ["<|user|>"],
            _hole_in_the_model,
            r"its ids, up to 400, have holes .* \(<\|begin_of_audio\|> at 259, not at 401\)",
        ),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_its_own_cause(
    tmp_path: Path, tokens: list[str], edit: Callable[[dict[str, Any]], Any] | None, message: str
) -> None:
    text = text_folder(tmp_path / "text", tokens)
    if edit is not None:
        edited(text, edit)
    with pytest.raises(ValueError, match=message) as error:
        vocabulary_of(tmp_path / "vocabulary", text)
    assert "\n" not in str(error.value) and not (tmp_path / "vocabulary").exists()


KINDS = ["vocabulary.json beside it", "vocabulary.json lost", "saved by transformers"]


def came_back(folder: Path, vocabulary: Path, kind: str) -> Path:
    """The tokenizer of `vocabulary` as it comes back from elsewhere."""
    if kind == "saved by transformers":
        AutoTokenizer.from_pretrained(vocabulary).save_pretrained(folder)
    else:
        shutil.copytree(vocabulary, folder)
        (folder / "manifest.json").unlink()
    if kind == "vocabulary.json lost":
        (folder / "vocabulary.json").unlink()
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [[], [END, "<|user|>", *codes(20)]], ids=["new", "mapped"])
def test_the_vocabulary_of_an_export_is_recovered(tmp_path: Path, kind: str, tokens: list[str]) -> None:
    text = text_folder(tmp_path / "text", tokens)
    before = vocabulary_of(tmp_path / "before", text, padding_multiple=64, speech_fingerprint="abc")
    export = came_back(tmp_path / "export", tmp_path / "before", kind)
    assert vocabulary_of(tmp_path / "after", export) == before
    ids = TextTokenizer.load(tmp_path / "after").backend.get_vocab()
    assert ids == TextTokenizer.load(tmp_path / "before").backend.get_vocab()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codebook_size": 21}, "codebook_size=20, here 21 is asked for"),
        ({"speech_fingerprint": "def"}, "speech_fingerprint=abc, here def is asked for"),
        ({"padding_multiple": 256}, "padding_multiple=64, here 256 is asked for"),
        ({"speakers": ["anna"]}, r"special tokens=\[.*\], here .*<\|speaker:anna\|>.* is asked for"),
        ({"begin_of_document": ["<|audio_3|>"]}, r"begin_of_document=\[\], here \['<\|audio_3\|>'\] is asked for"),
        ({"end_of_document": "<|audio_3|>"}, r"end_of_document=<\|endoftext\|>, here <\|audio_3\|> is asked for"),
    ],
)
def test_an_export_asked_for_another_vocabulary_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    vocabulary_of(tmp_path / "v", text_folder(tmp_path / "t", []), padding_multiple=64, speech_fingerprint="abc")
    with pytest.raises(ValueError, match=message) as error:
        vocabulary_of(tmp_path / "after", tmp_path / "v", **settings)
    assert "\n" not in str(error.value)


def test_tokens_that_were_added_to_an_export_since_keep_their_ids_too(tmp_path: Path) -> None:
    before = vocabulary_of(tmp_path / "before", text_folder(tmp_path / "text", []), speech_fingerprint="abc")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "before")
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    tokenizer.save_pretrained(tmp_path / "export")
    after = vocabulary_of(tmp_path / "after", tmp_path / "export")
    assert after.token_ids == before.token_ids and after.speech_fingerprint == "abc"
    assert after.size == before.size + 1 and TextTokenizer.load(tmp_path / "after").backend.token_to_id("<|pad|>") == (
        before.size
    )


def test_an_export_of_text_alone_gets_speech(tmp_path: Path) -> None:
    vocabulary_of(tmp_path / "before", text_folder(tmp_path / "text", []), codebook_size=0)
    vocabulary = vocabulary_of(tmp_path / "after", tmp_path / "before")
    assert vocabulary.speech_ids == range(261, 281)
    assert [vocabulary.special_id(token) for token in SPECIAL_TOKENS] == [257, 258, 259, 260]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"num_speech_ids": 19}, "speech_vocabulary is no usable vocabulary .*fingerprint does not match"),
        (None, "speech_vocabulary is no usable vocabulary"),
    ],
)
def test_a_kept_vocabulary_that_was_edited_is_refused(
    tmp_path: Path, edit: dict[str, Any] | None, message: str
) -> None:
    vocabulary_of(tmp_path / "before", text_folder(tmp_path / "text", []))
    export = came_back(tmp_path / "export", tmp_path / "before", "vocabulary.json lost")
    path = export / "tokenizer_config.json"
    values = json.loads(path.read_text())
    values["speech_vocabulary"] = edit and {**values["speech_vocabulary"], **edit}
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        vocabulary_of(tmp_path / "after", export)


def test_an_export_whose_tokenizer_was_renumbered_is_refused(tmp_path: Path) -> None:
    vocabulary_of(tmp_path / "before", text_folder(tmp_path / "text", []))
    export = came_back(tmp_path / "export", tmp_path / "before", "vocabulary.json lost")
    text = (export / "tokenizer.json").read_text()
    swapped = {"<|audio_3|>": "<|audio_4|>", "<|audio_4|>": "<|audio_3|>"}
    (export / "tokenizer.json").write_text(re.sub(r"<\|audio_[34]\|>", lambda match: swapped[match[0]], text))
    with pytest.raises(ValueError, match=r"token <\|audio_3\|> has id 265, but 264 in the vocabulary"):
        vocabulary_of(tmp_path / "after", export)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", '{"eos_token": "<|im_end|>"}'),
        ("tokenizer_config.json", '{"eos_token": "<|endoftext|>", "chat_template": "new"}'),
        ("special_tokens_map.json", '{"eos_token": "<|im_end|>"}'),
        ("generation_config.json", '{"eos_token_id": [256, 257]}'),
        ("config.json", '{"eos_token_id": 257}'),
        ("chat_template.jinja", "new"),
        ("additional_chat_templates/tools.jinja", "new"),
        ("LICENSE.txt", "terms"),
        ("tokenizer.json", None),
    ],
)
def test_a_vocabulary_from_other_files_is_another_vocabulary(tmp_path: Path, name: str, content: str | None) -> None:
    """Ends, templates, settings and licences are taken over: a change of theirs must not be passed over as made."""
    text = text_folder(tmp_path / "text", ["<|im_end|>"])
    vocabulary = vocabulary_of(tmp_path / "vocabulary", text)
    assert vocabulary_of(tmp_path / "vocabulary", text) == vocabulary, "unchanged, it is already made"
    path = text / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(path.read_text() + "\n" if content is None else content)
    with pytest.raises(ValueError, match="vocabulary exists but was made from other inputs"):
        vocabulary_of(tmp_path / "vocabulary", text)


@pytest.mark.parametrize("token", [BEGIN, "<|audio_0|>", "<|audio_7|>"])
@pytest.mark.parametrize("way", ["eos_token", "end_of_document", "begin_of_document"])
def test_a_token_of_ours_bounds_no_document(tmp_path: Path, token: str, way: str) -> None:
    """It would be taken for audio, and audio for the end of a document."""
    text = text_folder(tmp_path / "text", [BEGIN, *codes(20)])
    settings: dict[str, Any] = {"end_of_document": token, "begin_of_document": [token]}
    if way == "eos_token":
        (text / "tokenizer_config.json").write_text(json.dumps({"eos_token": token}))
    with pytest.raises(ValueError, match=r"bounds documents but is also a speech or .*set end_of_document") as error:
        vocabulary_of(tmp_path / "vocabulary", text, **{key: settings[key] for key in settings if key == way})
    assert "\n" not in str(error.value) and not (tmp_path / "vocabulary").exists()
