"""Cutting and composing: pieces join to the document, text ids are the tokenizer's, provenance points at the speech."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.facts.interleaved import PlacedSpan
from megatron_speech.config.stages.build_interleaved import SpansConfig, SpeakableConfig
from megatron_speech.interleave.compose import Piece, compose, compose_batch, cut_document
from megatron_speech.text_normalization.characters import character_classes, code_points
from megatron_speech.text_normalization.speakable import stretches
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO
from tests.toys import byte_vocabulary

VOCABULARY = byte_vocabulary(8)
BEGIN, END = VOCABULARY.special_id(BEGIN_OF_AUDIO), VOCABULARY.special_id(END_OF_AUDIO)


def encode(text: str) -> list[int]:
    return list(text.encode())


def speech(*codes: int) -> list[int]:
    return [VOCABULARY.speech_id(code) for code in codes]


def cut(text: str, spans: list[tuple[int, int]]) -> list[Piece]:
    """Pieces of `text` with the given words spoken."""
    words = re.findall(r"\s*\S+", text)
    words[-1] += text[sum(map(len, words)) :]
    pieces, start, position = [], 0, 0
    for end, spoken in [*((bound, i % 2) for span in spans for i, bound in enumerate(span)), (len(words), 0)]:
        part = "".join(words[start:end])
        if part:
            chars = (position, position + len(part))
            pieces.append(Piece(part, (start, end), chars, bool(spoken), "prose"))
        start, position = end, position + len(part)
    return pieces


FRAGMENTS = ["The cat sat. ", "He said: “No!” ", "x = y^2. ", "\n\n", "| a | b |\n", "东京 is far. ", "\u2029",
             "<b>it</b> ", "    return x;\n", "a b c d, e f g h i j; ", "今天是2024年。他走了，",
             "e\u0301 ", "\x00 ", "https://a.bc/d "]  # fmt: skip
DOCUMENTS = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))


def token_ends(text: str) -> list[int]:
    """Tokens of two characters."""
    return [*range(2, len(text), 2), len(text)]


@settings(max_examples=300, deadline=None)
@given(
    DOCUMENTS,
    st.integers(0, 100),
    st.sampled_from(["words", "tokens", "characters"]),
    st.booleans(),
    st.sampled_from(["en", "zh"]),
)
def test_pieces_join_to_the_document_and_nothing_unspeakable_is_spoken(text, seed, unit, snap, language):
    spans = SpansConfig(ratio=0.5, mean_length=3, unit=unit, snap_to_clauses=snap)
    speakable, counts = SpeakableConfig(language=language), Counter()
    arguments = {"key": text, "seed": seed, "spans": spans, "speakable": speakable, "token_ends": token_ends}
    pieces = cut_document(text, counts=counts, **arguments)
    assert "".join(piece.text for piece in pieces) == (text if text.strip() else "")
    assert all(text[slice(*piece.chars)] == piece.text for piece in pieces)
    assert [end for piece in pieces for end in piece.words[1:]] == [piece.words[0] for piece in pieces[1:]] + (
        [counts.total()] if pieces else []
    )
    classes = character_classes(code_points(text))
    for stretch in stretches(text, language=language, classes=classes):
        if stretch.reason is not None:
            for piece in pieces:
                start, end = max(stretch.start, piece.chars[0]), min(stretch.end, piece.chars[1])
                assert not (piece.spoken and start < end), f"{text[start:end]!r} is {stretch.reason}"
    assert cut_document(text, **arguments) == pieces


def test_speech_stands_in_the_place_of_its_words():
    text = " The capital of\tFrance is Paris. "
    pieces = cut(text, [(3, 4), (5, 6)])
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
        PlacedSpan(words=(3, 4), chars=(15, 22), tokens=(16, 19)),
        PlacedSpan(words=(5, 6), chars=(25, 33), tokens=(24, 25)),
    ]
    for span, sequence in zip(composed.spans, codes.values(), strict=True):
        start, end = span.tokens
        assert (composed.tokens[start:end] - VOCABULARY.first_speech_id == sequence).all()
    assert composed.replaced_text_ids == len("\tFrance") + len(" Paris. ")


def test_without_boundary_tokens_speech_stands_bare():
    pieces = cut("a b c", [(1, 2)])
    composed = compose(pieces, {1: np.array([3])}, encode=encode, vocabulary=VOCABULARY, boundary="none")
    assert composed.tokens.tolist() == [*encode("a"), *speech(3), *encode(" c")]
    assert composed.spans[0].tokens == (1, 2)


def test_a_failed_span_is_tokenised_with_the_text_around_it():
    seen = []

    def spy(text: str) -> list[int]:
        seen.append(text)
        return encode(text)

    pieces = cut("a b c d e", [(1, 2), (3, 4)])
    composed = compose(pieces, {1: None, 3: np.array([0])}, encode=spy, vocabulary=VOCABULARY)
    assert "a b c" in seen and composed.tokens.tolist() == [*encode("a b c"), BEGIN, *speech(0), END, *encode(" e")]
    assert [span.words for span in composed.spans] == [(3, 4)]


def test_codes_outside_the_codebook_are_named():
    pieces = cut("a b", [(0, 1)])
    with pytest.raises(ValueError, match="codebook of 8"):
        compose(pieces, {0: np.array([8])}, encode=encode, vocabulary=VOCABULARY)


def prose(words: int, number: int) -> str:
    """Sentences of 7 words; every fifth one cannot be spoken."""
    text = [
        f"word{'abcdefghij'[number % 10]} " if i % 7 else f"{'x = y' if i % 35 == 0 else 'Word'}, "
        for i in range(words)
    ]
    return "".join(part + (". " if i % 7 == 6 else "") for i, part in enumerate(text))


@pytest.mark.parametrize("snap", [False, True])
def test_mean_ratio_is_of_what_can_be_spoken(snap):
    """Documents of 50 to 3,000 words; scripts of the benchmark show 10,000 of up to 20,000."""
    spans, deviations, counts = SpansConfig(snap_to_clauses=snap), [], Counter()
    for number in range(400):
        words = round(50 * 60 ** (number / 400))
        here: Counter[str] = Counter()
        pieces = cut_document(
            prose(words, number), key=str(number), seed=1, spans=spans, speakable=SpeakableConfig(), counts=here
        )
        counts += here
        spoken = sum(piece.words[1] - piece.words[0] for piece in pieces if piece.spoken)
        deviations.append(spoken / here["speakable"] - 0.3)
        assert deviations[-1] < 0.5
    assert counts["mathematics"] > 0 and counts["speakable"] > counts["mathematics"]
    assert abs(np.mean(deviations)) < 4 * np.std(deviations) / np.sqrt(len(deviations))
    assert np.std(deviations) < 0.05


def test_many_documents_are_composed_as_one_by_one():
    texts = ["The cat sat on the mat. " * 9, "a b c d e f g h i j. " * 4, "one"]
    arguments = {"seed": 0, "spans": SpansConfig(mean_length=2), "speakable": SpeakableConfig()}
    documents = []
    for text in texts:
        pieces = cut_document(text, key=text, **arguments)
        spoken = [index for index, piece in enumerate(pieces) if piece.spoken]
        documents.append((pieces, {index: np.arange(1 + index % 3) if index % 5 else None for index in spoken[::-1]}))
    batch = compose_batch(documents, encode_batch=lambda texts: [encode(text) for text in texts], vocabulary=VOCABULARY)
    for (pieces, codes), composed in zip(documents, batch, strict=True):
        alone = compose(pieces, codes, encode=encode, vocabulary=VOCABULARY)
        assert composed.tokens.tolist() == alone.tokens.tolist() and composed.spans == alone.spans
        assert composed.replaced_text_ids == alone.replaced_text_ids
    with pytest.raises(ValueError, match="a span has none"):
        compose([Piece("a", (0, 1), (0, 1), True, "prose")], {0: np.array([])}, encode=encode, vocabulary=VOCABULARY)
