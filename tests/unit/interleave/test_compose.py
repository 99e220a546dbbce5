"""Cutting and composing: pieces join to the document, text ids are the tokenizer's, provenance points at the speech."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.interleave.compose import compose, cut, word_ends
from megatron_speech.interleave.spans import sample_spans
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO
from tests.toys import byte_vocabulary

VOCABULARY = byte_vocabulary(8)
BEGIN, END = VOCABULARY.special_id(BEGIN_OF_AUDIO), VOCABULARY.special_id(END_OF_AUDIO)


def encode(text: str) -> list[int]:
    return list(text.encode())


def speech(*codes: int) -> list[int]:
    return [VOCABULARY.speech_id(code) for code in codes]


@given(st.text(), st.integers(0, 100))
def test_pieces_join_to_the_document(text, seed):
    ends = word_ends(text)
    pieces = cut(text, sample_spans(len(ends), ratio=0.5, mean_length=2, seed=seed, document_id=text), ends=ends)
    assert "".join(piece.text for piece in pieces) == (text if text.strip() else "")
    assert all(text[slice(*piece.chars)] == piece.text for piece in pieces)
    assert len(ends) == len(text.split())
    assert all(len(piece.text.split()) == piece.words[1] - piece.words[0] for piece in pieces)


def test_speech_stands_in_the_place_of_its_words():
    text = " The capital of\tFrance is Paris. "
    pieces = cut(text, [(3, 4), (5, 6)], ends=word_ends(text))
    assert [(piece.text, piece.spoken) for piece in pieces] == [
        (" The capital of", False),
        ("\tFrance", True),
        (" is", False),
        (" Paris. ", True),
    ]
    codes = {1: np.array([1, 2, 2]), 3: np.array([7])}
    composed = compose(pieces, codes, encode=encode, vocabulary=VOCABULARY)
    assert composed.tokens.tolist() == [
        *encode(" The capital of"), BEGIN, *speech(1, 2, 2), END, *encode(" is"), BEGIN, *speech(7), END
    ]  # fmt: skip
    assert composed.tokens.dtype == np.int32
    assert composed.spans == [
        {"words": [3, 4], "chars": [15, 22], "tokens": [16, 19]},
        {"words": [5, 6], "chars": [25, 33], "tokens": [24, 25]},
    ]
    for span, sequence in zip(composed.spans, codes.values(), strict=True):
        start, end = span["tokens"]
        assert (composed.tokens[start:end] - VOCABULARY.first_speech_id == sequence).all()
    assert composed.replaced_text_ids == len("\tFrance") + len(" Paris. ")


def test_without_boundary_tokens_speech_stands_bare():
    pieces = cut("a b c", [(1, 2)], ends=word_ends("a b c"))
    composed = compose(pieces, {1: np.array([3])}, encode=encode, vocabulary=VOCABULARY, boundary="none")
    assert composed.tokens.tolist() == [*encode("a"), *speech(3), *encode(" c")]
    assert composed.spans[0]["tokens"] == [1, 2]


def test_a_failed_span_is_tokenised_with_the_text_around_it():
    seen = []

    def spy(text: str) -> list[int]:
        seen.append(text)
        return encode(text)

    pieces = cut("a b c d e", [(1, 2), (3, 4)], ends=word_ends("a b c d e"))
    composed = compose(pieces, {1: None, 3: np.array([0])}, encode=spy, vocabulary=VOCABULARY)
    assert "a b c" in seen and composed.tokens.tolist() == [*encode("a b c"), BEGIN, *speech(0), END, *encode(" e")]
    assert [span["words"] for span in composed.spans] == [[3, 4]]


def test_codes_outside_the_codebook_are_named():
    pieces = cut("a b", [(0, 1)], ends=word_ends("a b"))
    with pytest.raises(ValueError, match="codebook of 8"):
        compose(pieces, {0: np.array([8])}, encode=encode, vocabulary=VOCABULARY)
