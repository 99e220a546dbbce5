"""Text as it is read aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.text_to_token.spoken import spoken


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("In 1984, 1,984 cats", "in nineteen eighty four, one thousand nine hundred and eighty four cats"),
        ("the 3rd of 12", "the third of twelve"),
        ("£5 million and $3.50", "five million pounds and three point five zero dollars"),
        ("about 3.5% of it", "about three point five percent of it"),
        ("in the 1990s", "in the nineteen nineties"),
        ("agent 007!", "agent zero zero seven!"),
        ("Café — naïve 東京", "cafe, naive"),
        ("NATO & the U.S.", "nato and the u.s."),
        ("It's \u201cok\u201d (mostly): yes", "it's ok, mostly, yes"),
        ("a  b\n\tc", "a b c"),
        ("...", ""),
        ("東京", ""),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
    ],
)
def test_readings(written: str, read: str) -> None:
    assert spoken(written) == read


@given(st.text())
def test_any_text_gives_the_small_alphabet_and_reading_twice_changes_nothing(text: str) -> None:
    once = spoken(text)
    assert set(once) <= set("abcdefghijklmnopqrstuvwxyz.,?!' ")
    assert "  " not in once and once == once.strip()
    assert spoken(once) == once
