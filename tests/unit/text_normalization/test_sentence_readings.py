"""Spans are read with their neighbours, cut nothing that is read as one, and leave unsure sentences in writing."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from megatron_speech.config.stages.build_interleaved import SpansConfig, SpeakableConfig
from megatron_speech.interleave.compose import Piece, cut_document
from megatron_speech.interleave.spans import keep_whole, sample_spans
from megatron_speech.text_normalization.characters import character_classes, code_points
from megatron_speech.text_normalization.pieces import Unreadable
from megatron_speech.text_normalization.sentence_readings import read_sentences
from megatron_speech.text_normalization.speakable import stretches
from megatron_speech.text_normalization.spoken import odd_pieces, read_pieces, spoken

ENGLISH = (
    "She was aged 5 in the war. It cost $3.5 million in World War II, they say. Dr. Smith left on 5 May 2010 for it. "
    "About 10-20% of the NATO men stayed, and the US paid. It was a long way to the sea and back. "
)
CHINESE = "在2024年5月，增长了10-20%。GPT-4很强，有200个人。比分是3:2，他们赢了。今天天气很好，我们去看海。"
UNSURE = "He scored 3-4-5 in 7/13 of them. "


def cut(text: str, seed: int, language: str, unit: str, **options) -> list[Piece]:
    spans = SpansConfig(ratio=0.5, mean_length=2, unit=unit, **options)
    return cut_document(text, key="a", seed=seed, spans=spans, speakable=SpeakableConfig(language=language))


@pytest.mark.parametrize(
    ("text", "language", "unit"),
    [(ENGLISH * 3, "en", "words"), (ENGLISH, "en", "characters"), (CHINESE * 3, "zh", "characters")],
)
@pytest.mark.parametrize("snap", [False, True])
def test_no_span_cuts_what_is_read_as_one(text, language, unit, snap):
    wholes = [(text[p.start : p.end].strip(), p) for p in read_pieces(text, language=language)]
    wholes = [(p.start, p.end) for source, p in wholes if p.words != source.lower() and len(source) > 1]
    spoken_spans = 0
    for seed in range(60):
        for piece in cut(text, seed, language, unit, snap_to_clauses=snap):
            start, end = piece.chars
            spoken_spans += piece.spoken
            for first, last in wholes:
                assert last <= start or first >= end or (start <= first and last <= end), (piece.text, text[first:last])
    assert spoken_spans > 60


@pytest.mark.parametrize(("text", "language", "unit"), [(ENGLISH, "en", "words"), (CHINESE, "zh", "characters")])
def test_readings_of_all_pieces_join_to_that_of_the_document(text, language, unit):
    """Whatever is spoken says its share, no more and no less: no digit twice, no word from a neighbour."""

    def words(said: str) -> str:
        return "".join(char for char in said.lower() if char.isalpha())

    sentences = stretches(text, language=language, classes=character_classes(code_points(text)))
    _, readings = read_sentences(text, sentences, language=language)
    for seed in range(40):
        pieces = cut(text, seed, language, unit)
        assert "".join(words(readings.of(*piece.chars)) for piece in pieces) == words(spoken(text, language=language))
        assert all(piece.reading == (readings.of(*piece.chars) if piece.spoken else "") for piece in pieces)


@pytest.mark.parametrize(
    ("text", "language", "part", "said"),
    [
        ("She was aged 5 in the war.", "en", "was aged 5", "was aged five"),
        ("It cost $3.5 million.", "en", "$3.5 million.", "three point five million dollars."),
        ("After World War II began they left.", "en", "World War II began", "world war two began"),
        ("The US paid us, and NATO left.", "en", "US paid us, and NATO", "US paid us, and NATO"),
        ("比分是3:2，他们赢了。", "zh", "3:2，他", "三比二，他"),
        ("人口为1234567。他说。", "zh", "1234567", "一百二十三万四千五百六十七"),
    ],
)
def test_a_part_is_read_as_in_its_sentence_with_its_capitals(text, language, part, said):
    sentences = stretches(text, language=language, classes=character_classes(code_points(text)))
    _, readings = read_sentences(text, sentences, language=language)
    start = text.index(part)
    assert readings.of(start, start + len(part)) == said


def test_a_sentence_that_cannot_be_read_stays_in_writing_and_is_counted():
    counts: Counter[str] = Counter()
    text = (ENGLISH + UNSURE) * 4
    options = {"spans": SpansConfig(ratio=0.5, mean_length=2), "speakable": SpeakableConfig()}
    pieces = cut_document(text, key="a", seed=0, counts=counts, **options)
    assert counts["reading"] == 4 * len(UNSURE.split())
    assert counts.total() == len(text.split())
    assert not any("3-4-5" in piece.text for piece in pieces if piece.spoken)
    assert all(piece.reading for piece in pieces if piece.spoken)


def test_without_the_filter_what_cannot_be_read_is_not_spoken_as_something_else():
    options = {"spans": SpansConfig(ratio=0.5, mean_length=4), "speakable": SpeakableConfig(filter=False)}
    readings = Counter()
    for seed in range(30):
        for piece in cut_document(UNSURE + "x = {y};\nWe left.", key="a", seed=seed, **options):
            if piece.spoken:
                readings[bool(piece.reading)] += 1
                assert bool(piece.reading) == (piece.text.strip() in ("We", "left.", "We left."))
    assert readings[False] > 9


BLOCKS = st.lists(st.tuples(st.integers(1, 6), st.integers(2, 5)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(BLOCKS, st.integers(0, 30), st.integers(0, 1000))
def test_spans_keep_order_never_touch_and_hold_whole_blocks(layout, rest, seed):
    blocks, place = [], 0
    for gap, length in layout:
        blocks.append((place + gap, place + gap + length))
        place += gap + length
    num_words = place + rest
    bounds = np.array(blocks, dtype=np.int64).reshape(-1, 2)
    spans = sample_spans(num_words, ratio=0.5, mean_length=3, seed=seed, document_id="a")
    kept = keep_whole(spans, bounds, seed=seed, document_id="a") if spans else []
    assert kept == (keep_whole(spans, bounds, seed=seed, document_id="a") if spans else [])
    assert all(0 <= start < end <= num_words for start, end in kept)
    assert all(end < start for (_, end), (start, _) in pairwise(kept))
    for start, end in kept:
        for first, last in blocks:
            assert not (first < start < last or first < end < last)


@pytest.mark.parametrize("num_words", [12, 60, 400])
def test_the_expected_number_of_spoken_words_stays_exact(num_words):
    blocks = np.array([(n, n + 4) for n in range(1, num_words - 4, 6)], dtype=np.int64)
    drawn, kept = [], []
    for seed in range(1500):
        spans = sample_spans(num_words, ratio=0.3, mean_length=5, seed=seed, document_id="a")
        drawn.append(sum(end - start for start, end in spans))
        kept.append(sum(end - start for start, end in keep_whole(spans, blocks, seed=seed, document_id="a")))
    difference = np.array(kept) - np.array(drawn)
    assert difference.any()
    assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5


FRAGMENTS = [
    *("He", " said", " “", "”", '"', ", ", ". ", "no", "?", "!", " it's", " it’s", "’", "'", " café", " 5 km", " 1984"),
    *("; ", ": ", " (", ")", " well-made", " A", " mfg.", "-", " He"),
    *("Dr. ", "St. ", " I", " II", " vi", "—", "-", "今天", "GPT-4", "，", "10-20%", "3:2", "\xa0", "ﬁ", "…"),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join), st.sampled_from(["en", "zh"]))
@example(ENGLISH, "en")
@example("“Bring it,” he said, “or not.”", "en")
@example('He saw (as you know) the well-made A; the mfg. said: "no."', "en")
@example(CHINESE, "zh")
def test_odd_pieces_are_those_that_are_not_read_as_written(text, language):
    try:
        pieces = read_pieces(text, language=language)
    except Unreadable:
        with pytest.raises(Unreadable):
            odd_pieces(text, language=language)
        return
    odd = []
    for piece in pieces:
        source = text[piece.start : piece.end]
        if piece.words != (source.lower() if language == "en" else source) and not source.isspace():
            odd.append(piece)
    assert odd_pieces(text, language=language) == odd
