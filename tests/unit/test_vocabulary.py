"""The id space: contiguous, exact, and identified by its fingerprint."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.vocabulary import SPECIAL_TOKENS, Vocabulary

VOCABULARY = Vocabulary(num_text_ids=49_152, num_speech_ids=1024, text_fingerprint="text", speech_fingerprint="speech")


@given(
    text=st.integers(1, 200_000),
    codes=st.integers(0, 65_536),
    multiple=st.integers(1, 512),
    token=st.integers(0, 300_000),
)
def test_ids_tile_the_space(text: int, codes: int, multiple: int, token: int):
    vocabulary = Vocabulary(num_text_ids=text, num_speech_ids=codes, padding_multiple=multiple)
    assert [vocabulary.special_id(name) for name in SPECIAL_TOKENS] == list(range(text, vocabulary.first_speech_id))
    assert vocabulary.size == text + len(SPECIAL_TOKENS) + codes
    assert vocabulary.size <= vocabulary.padded_size < vocabulary.size + multiple
    assert vocabulary.padded_size % multiple == 0
    assert vocabulary.is_speech(token) == (token in range(vocabulary.first_speech_id, vocabulary.size))
    if codes:
        assert vocabulary.speech_id(codes - 1) == vocabulary.size - 1


def test_json_keeps_everything_and_detects_edits(tmp_path: Path):
    VOCABULARY.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path) == Vocabulary.load(tmp_path / "vocabulary.json") == VOCABULARY
    values = json.loads((tmp_path / "vocabulary.json").read_text())
    values["end_of_document"] = 7
    with pytest.raises(ValueError, match="fingerprint does not match"):
        Vocabulary.from_json(values)
    with pytest.raises(FileNotFoundError, match=r"no does not exist; run"):
        Vocabulary.load(tmp_path / "vocabulary.json" / "no")
    for damage in ("{", "[]", "{}", json.dumps(values)):
        (tmp_path / "vocabulary.json").write_text(damage)
        with pytest.raises(ValueError, match=r"vocabulary.json: not a usable vocabulary"):
            Vocabulary.load(tmp_path)


def test_every_field_changes_the_fingerprint():
    changes = {
        "num_text_ids": 1, "num_speech_ids": 1, "special_tokens": ("<|x|>",), "end_of_document": 1,
        "begin_of_document": (1,),
        "text_fingerprint": "x", "speech_fingerprint": "x", "padding_multiple": 64,
    }  # fmt: skip
    assert set(changes) == {field.name for field in dataclasses.fields(Vocabulary)}
    others = {dataclasses.replace(VOCABULARY, **{name: value}).fingerprint for name, value in changes.items()}
    assert len(others | {VOCABULARY.fingerprint}) == len(changes) + 1


def test_mismatch_names_the_holder():
    VOCABULARY.require(VOCABULARY.fingerprint, holder="shard")
    with pytest.raises(ValueError, match=r"packed/text: vocabulary fingerprint 000000000000"):
        VOCABULARY.require("0" * 64, holder="packed/text")


def test_bare_codes_are_ids():
    codes = Vocabulary.of_codes(512, "tokenizer")
    assert (codes.speech_id(5), codes.size, codes.padded_size) == (5, 512, 512)


@pytest.mark.parametrize("fields", [{"num_text_ids": -1}, {"num_text_ids": 0, "special_tokens": ()}])
def test_impossible_sizes_are_refused(fields: dict):
    with pytest.raises(ValueError, match="must be at least 0 and one above"):
        Vocabulary(**{"num_speech_ids": 0, **fields})
    with pytest.raises(ValueError, match="must not repeat"):
        Vocabulary(num_text_ids=1, num_speech_ids=1, special_tokens=("a", "a"))
