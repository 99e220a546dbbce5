"""Answers that are written and spoken at once become one sequence, and the same two again."""

from __future__ import annotations

import random

import pytest

from megatron_speech.sequences.streaming_thoughts import RATIO, StreamingThoughts
from megatron_speech.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text_ids=100, num_speech_ids=50, end_of_document=99)
BEGIN, END = (VOCABULARY.special_id(token) for token in ("<|begin_of_audio|>", "<|end_of_audio|>"))
FIRST = VOCABULARY.first_speech_id
MAPPED = Vocabulary(
    num_text_ids=100,
    num_speech_ids=20,
    end_of_document=99,
    mapped_ids=(("<|audio_0|>", 10), ("<|begin_of_audio|>", 40)),
)
"""A vocabulary whose text tokenizer already has the codes and a special token."""


def drawn_answer(drawn: random.Random, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    text_ids = [n for n in range(vocabulary.num_text_ids) if vocabulary.text_mask(n) and n != 99]
    text = drawn.choices(text_ids, k=drawn.choice((0, 1, 13, 14, drawn.randrange(90))))
    speech = drawn.choices(vocabulary.speech_ids, k=drawn.choice((0, 1, 26, 27, drawn.randrange(200))))
    return text, speech


@pytest.mark.parametrize("vocabulary", [VOCABULARY, MAPPED])
@pytest.mark.parametrize("enclosed", [False, True])
@pytest.mark.parametrize("ratio", [RATIO, (1, 4, 3, 8, 4, 10), (1, 10, 4, 10), (2, 3)])
def test_split_is_the_inverse_of_join(ratio: tuple[int, ...], enclosed: bool, vocabulary: Vocabulary) -> None:
    layout = StreamingThoughts(vocabulary=vocabulary, ratio=ratio, enclosed=enclosed)
    drawn = random.Random(0)
    for _ in range(500):
        text, speech = drawn_answer(drawn, vocabulary)
        joined = layout.join(text, speech)
        assert layout.split(joined) == (text, speech) and layout.is_kept(joined)
        assert len(joined) == len(text) + len(speech) + enclosed * 2 * joined.count(
            vocabulary.special_id("<|begin_of_audio|>")
        )


def modalities(ids: list[int]) -> list[tuple[str, int]]:
    """Runs of text, speech and other ids, with their lengths."""
    runs: list[tuple[str, int]] = []
    for each in ids:
        kind = "speech" if each >= FIRST else "text" if each < 100 else {BEGIN: "begin", END: "end"}[each]
        length = runs.pop()[1] if runs and runs[-1][0] == kind else 0
        runs.append((kind, length + 1))
    return runs


def test_text_runs_ahead_and_the_rest_of_the_speech_follows() -> None:
    layout = StreamingThoughts(vocabulary=VOCABULARY)
    joined = layout.join([1] * 30, [FIRST] * 114)
    assert modalities(joined) == [
        ("text", 13),
        ("speech", 26),
        ("text", 13),
        ("speech", 26),
        ("text", 4),
        ("speech", 62),
    ]
    assert modalities(layout.join([1] * 13, [FIRST] * 50)) == [("text", 13), ("speech", 50)]
    assert modalities(layout.join([1] * 40, [FIRST] * 30)) == [
        ("text", 13),
        ("speech", 26),
        ("text", 13),
        ("speech", 4),
        ("text", 14),
    ]
    assert (
        layout.join([], [FIRST, FIRST]) == [FIRST, FIRST]
        and layout.join([1, 2], []) == [1, 2]
        and layout.join([], []) == []
    )


def test_the_last_pair_of_the_ratio_repeats() -> None:
    layout = StreamingThoughts(vocabulary=VOCABULARY, ratio=(1, 4, 3, 8, 4, 10))
    assert modalities(layout.join([1] * 13, [FIRST] * 40)) == [
        *(("text", 1), ("speech", 4), ("text", 3), ("speech", 8)),
        *(("text", 4), ("speech", 10), ("text", 4), ("speech", 10), ("text", 1), ("speech", 8)),
    ]


def test_bounds_of_speech_count_as_speech() -> None:
    layout = StreamingThoughts(vocabulary=VOCABULARY, enclosed=True)
    run = [("begin", 1), ("speech", 24), ("end", 1)]
    assert modalities(layout.join([1] * 14, [FIRST] * 60)) == [
        *(("text", 13), *run, ("text", 1)),
        *(("begin", 1), ("speech", 36), ("end", 1)),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        [*[1] * 12, *[FIRST] * 26, 1, *[FIRST] * 3],
        [*[1] * 13, *[FIRST] * 25, 1, *[FIRST] * 3],
        [*[1] * 14, *[FIRST] * 26],
        [*[1] * 13, BEGIN, *[FIRST] * 26],
        [FIRST, 1, FIRST],
    ],
)
def test_an_answer_that_breaks_the_layout_is_read_and_known(broken: list[int]) -> None:
    layout = StreamingThoughts(vocabulary=VOCABULARY)
    assert not layout.is_kept(broken)
    text, speech = layout.split(broken)
    assert text == [each for each in broken if each < 99] and speech == [each for each in broken if each >= FIRST]


@pytest.mark.parametrize("ratio", [(), (13,), (13, 26, 1), (0, 26), (13, 0)])
def test_ratios_that_are_no_pairs_are_refused(ratio: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"ratio=\[.*\] must be pairs of text and speech ids, at least 1 and 1"):
        StreamingThoughts(vocabulary=VOCABULARY, ratio=ratio)
    with pytest.raises(ValueError, match=r"ratio=\[13, 2\] must be .*, at least 1 and 3; \[13, 26\] is the paper's"):
        StreamingThoughts(vocabulary=VOCABULARY, ratio=(13, 2), enclosed=True)


@pytest.mark.parametrize(
    ("text", "speech"), [([FIRST], []), ([1], [2]), ([99], []), ([1], [BEGIN]), ([BEGIN], [FIRST])]
)
def test_ids_of_the_other_modality_are_refused(text: list[int], speech: list[int]) -> None:
    with pytest.raises(ValueError, match="the text holds ids that are no text, or the speech ids that are no speech"):
        StreamingThoughts(vocabulary=VOCABULARY).join(text, speech)
