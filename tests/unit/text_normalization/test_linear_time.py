"""No text takes long: a longer one takes its share of time more, whatever it repeats."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from megatron_speech.text_normalization.characters import character_classes, code_points
from megatron_speech.text_normalization.pieces import Unreadable
from megatron_speech.text_normalization.speakable import stretches
from megatron_speech.text_normalization.spoken import read_pieces, spoken


def seconds(read: Callable[[str], object], unit: str, characters: int) -> float:
    """Processor time of reading `unit` over and over."""
    text = unit * (characters // len(unit))
    gc.collect()  # else a collection of what other tests left falls into the longer of the two
    began = time.process_time()
    with suppress(Unreadable):
        read(text)
    return time.process_time() - began


@pytest.mark.parametrize(
    ("unit", "language"),
    [("word. ", "en"), ('"a (b. ', "en"), ("(", "en"), ("a", "en"), ("سلام. ", "en"), ("今天，", "zh"), ("今。", "zh"),
     ("| a ", "en"), ("<a ", "en"), ("x_", "en"), ("{", "en"), ("a@", "en"), ("a/", "en"), ("\\", "en"), ("   a", "en"),
     ("\n", "en"), ("a\n\n", "en"), ("&a", "en"), ("[", "en"), ("-", "en"), ("[[(", "en"), ("{;\n", "en")],
)  # fmt: skip
def test_finding_what_can_be_spoken_takes_linear_time(unit: str, language: str) -> None:
    """Four times the text takes nowhere near sixteen times as long, in one line or in many."""

    def read(text: str) -> object:
        return stretches(text, language=language, classes=character_classes(code_points(text)))

    read("warm")
    short = min(seconds(read, unit, 30_000) for _ in range(9))
    assert any(seconds(read, unit, 120_000) < 9 * short + 0.01 for _ in range(5))  # other work only adds


@pytest.mark.parametrize(
    "unit", ["今天", "GPT 4 ", "1", "1,", "2024年5月，", "5个", "-", "a1", "A.", "1:2，", "·", '"']
)
def test_reading_chinese_takes_linear_time(unit: str) -> None:
    def read(text: str) -> object:
        return read_pieces(text, language="zh")

    seconds(read, unit, 1000)
    short = min(seconds(read, unit, 10_000) for _ in range(3))
    assert any(seconds(read, unit, 40_000) < 9 * short + 0.02 for _ in range(3))


UNITS = [
    "1,", "1, ", "-", "a.b.c.d ", "a", "1", "9 ", "a1", "'", '12" ', "I ", "St. ", "(", "1/", "1:1 ", "$1-", "é",
    "May ", "A.", "a-", "1.1", "/a", "@a", "John ", ".", ",000", "$5 ", "5 km ", "John 3:16 ", "'a' ", "“a” ",
    "5-", "½", "#a ", "www.", "+1 ", "0", "ii ", "a. ", "1th", "$1.00", "- ", "\u0301", "IV ", "1990s–",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_reading_english_takes_linear_time(unit: str) -> None:
    def read(text: str) -> object:
        return spoken(text, language="en")

    seconds(read, unit, 1000)
    assert seconds(read, unit, 80_000) < 40 * max(seconds(read, unit, 10_000), 0.002)
