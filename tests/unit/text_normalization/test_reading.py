"""Text as it is read aloud."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.text_normalization.reading import spoken
from tests.unit.text_normalization.readings import ENGLISH


@pytest.mark.parametrize(("written", "read"), ENGLISH)
def test_english_readings(written: str, read: str) -> None:
    assert spoken(written, language="en") == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Café — naïve 東京", "cafe, naive"),
        ("It's \u201cok\u201d (mostly): yes", "it's ok, mostly, yes"),
        ("a  b\n\tc", "a b c"),
        ("...", ""),
        ("東京", ""),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
        ("in 0.5 m, 24/7, -3, 5/0", "in zero point five meters, twenty four seven, minus three, five zero"),
        ("at 99:99 or 10.5.2020", "at ninety nine to ninety nine or ten point five. twenty twenty"),
        ("I may go. May I? He met Dr. X", "i may go. may i? he met doctor x"),
        ("born in 1984 in London, 3 in a row", "born in nineteen eighty four in london, three in a row"),
        ("a 5 in. nail, 6 in by 4 in, 8 in long", "a five inches. nail, six inches by four inches, eight inches long"),
        ("2½ cups, 2 1/2 tsp, 3/4 km", "two and one half cups, two and one half teaspoons, three quarters kilometer"),
        ("at −5 °C, 40º, -£5", "at minus five degrees celsius, forty degrees, minus five pounds"),
        ("on 12/05/2010, 25/12/2010", "on december fifth, twenty ten, december twenty fifth, twenty ten"),
        ("$5-10, £3.5m, 40 000 people", "five dollars to ten, three point five million pounds, forty thousand people"),
        ("5 × 10 cm, 3:1", "five by ten centimeters, three to one"),
        ("the 9/10 people in 30 min", "the nine tenths people in thirty minutes"),
    ],
)
def test_english_corners(written: str, read: str) -> None:
    assert spoken(written, language="en") == read


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_the_small_alphabet_and_reading_twice_changes_nothing(text: str) -> None:
    once = spoken(text, language="en")
    assert set(once) <= set("abcdefghijklmnopqrstuvwxyz.,?!' ")
    assert "  " not in once and once == once.strip()
    assert spoken(once, language="en") == once
