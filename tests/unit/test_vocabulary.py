"""The id space: contiguous, exact, and identified by its fingerprint."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.vocabulary import SPECIAL_TOKENS, Vocabulary

VOCABULARY = Vocabulary(num_text_ids=49_152, num_speech_ids=1024, text_fingerprint="text", speech_fingerprint="speech")


@given(
    text=st.integers(1, 200_000),
    codes=st.integers(0, 65_536),
    multiple=st.integers(1, 512),
)
def test_ids_tile_the_space(text: int, codes: int, multiple: int):
    vocabulary = Vocabulary(num_text_ids=text, num_speech_ids=codes, padding_multiple=multiple)
    assert [vocabulary.special_id(name) for name in SPECIAL_TOKENS] == list(range(text, vocabulary.first_speech_id))
    assert vocabulary.size == text + len(SPECIAL_TOKENS) + codes
    assert vocabulary.size <= vocabulary.padded_size < vocabulary.size + multiple
    assert vocabulary.padded_size % multiple == 0
    assert vocabulary.speech_ids == range(vocabulary.first_speech_id, vocabulary.size)
    if codes:
        assert vocabulary.speech_id(codes - 1) == vocabulary.size - 1


def by_id(mapped: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(mapped, key=lambda each: each[1]))


@st.composite
def mapped_vocabularies(draw: st.DrawFn) -> Vocabulary:
    """Some specials, and perhaps the speech codes, at ids that the text tokenizer gave them."""
    codes = draw(st.integers(1, 9))
    specials = draw(st.lists(st.sampled_from(SPECIAL_TOKENS), unique=True))
    first = draw(st.none() | st.integers(0, 20))
    free = [number for number in range(30) if first is None or not first <= number < first + codes]
    places = draw(st.permutations(free))[: len(specials)]
    mapped = [*zip(specials, places, strict=True), *([("<|audio_0|>", first)] if first is not None else [])]
    return Vocabulary(num_text_ids=30, num_speech_ids=codes, mapped_ids=by_id(mapped), padding_multiple=8)


@given(vocabulary=mapped_vocabularies())
def test_every_id_is_text_a_special_token_or_speech_wherever_the_tokens_lie(vocabulary: Vocabulary):
    ids = np.arange(vocabulary.size)
    specials = {vocabulary.special_id(token) for token in SPECIAL_TOKENS}
    speech = {vocabulary.speech_id(code) for code in range(vocabulary.num_speech_ids)}
    assert set(ids[vocabulary.speech_mask(ids)]) == speech == set(vocabulary.speech_ids)
    assert set(ids[vocabulary.text_mask(ids)]) == set(range(vocabulary.num_text_ids)) - specials - speech
    assert len(specials) == len(SPECIAL_TOKENS) and not specials & speech
    assert set(range(vocabulary.num_text_ids)) | specials | speech == set(ids)
    assert sorted(vocabulary.token_ids.values()) == sorted(specials | speech)
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@pytest.mark.parametrize(
    "mapped",
    [
        [("<|user|>", 3)],
        [("<|recognize|>", 100)],
        [("<|recognize|>", -1)],
        [("<|recognize|>", 3), ("<|synthesize|>", 3)],
        [("<|recognize|>", 3), ("<|recognize|>", 4)],
        [("<|audio_0|>", 98)],
        [("<|audio_0|>", 50), ("<|recognize|>", 52)],
    ],
)
def test_mapped_ids_that_cannot_be_are_refused(mapped: list[tuple[str, int]]):
    with pytest.raises(ValueError, match=r"vocabulary: mapped_ids=.* must be special tokens or <\|audio_0\|>"):
        Vocabulary(num_text_ids=100, num_speech_ids=4, mapped_ids=tuple(mapped))


def test_vocabularies_without_mapped_ids_keep_the_fingerprint_they_had():
    vocabulary = Vocabulary(num_text_ids=257, num_speech_ids=20, end_of_document=256, text_fingerprint="text")
    assert vocabulary.fingerprint == "3ef1d9471a4553813bd662f85f0e8e4611fdb2ab5522435261178d556d3ca020"
    assert "mapped_ids" not in vocabulary.to_json()


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
        "mapped_ids": (("<|recognize|>", 7),),
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({name: None}, f"it lacks {name}") for name in ("num_text_ids", "num_speech_ids", "special_tokens")),
        ({"fingerprint": None}, "it lacks fingerprint"),
        ({"special_tokens": 5}, "special_tokens=5 is no list"),
        ({"special_tokens": [["x"]]}, "special_tokens, begin_of_document or mapped_ids has an entry of a wrong type"),
        ({"num_text_ids": True}, "num_text_ids=True is no int"),
        ({"num_text_ids": "9"}, "num_text_ids='9' is no int"),
        ({"padding_multiple": 1.5}, "padding_multiple=1.5 is no int"),
        ({"begin_of_document": ["x"]}, "special_tokens, begin_of_document or mapped_ids has"),
        ({"mapped_ids": {"x": "y", "z": 1}}, "special_tokens, begin_of_document or mapped_ids has"),
        ({"mapped_ids": []}, r"mapped_ids=\[\] is no dict"),
        ({"colour": 1}, "colour is no field of a vocabulary; the file is of another version"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_words(tmp_path: Path, changes: dict[str, Any], said: str):
    values = VOCABULARY.to_json() | changes
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    with pytest.raises(ValueError, match=rf"vocabulary\.json: not a usable vocabulary \({said}"):
        Vocabulary.load(path)


@pytest.mark.parametrize("content", ["3", "[]", "null", '"x"'])
def test_a_file_that_is_no_object_is_said_so(tmp_path: Path, content: str):
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(ValueError, match=r"not a usable vocabulary \(it is no JSON object\)"):
        Vocabulary.load(tmp_path)
