"""English text as it is read aloud: what is sure is read, all else is refused, and nothing is left out silently."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from megatron_speech.text_normalization.english.letters import fold_sign
from megatron_speech.text_normalization.pieces import Piece, Unreadable
from megatron_speech.text_normalization.spoken import joined, read_pieces, spoken

TABLE = Path(__file__).with_name("readings_en.tsv")
CASES = [line.split("\t") for line in TABLE.read_text("utf-8").splitlines() if line and not line.startswith("## ")]
WRITTEN = st.text(alphabet="aAbIVXStnoMmkin0123456789 .,:;-–—/%$€£#&@+='\"()[]°½²…_*<>~×ßéłµж", max_size=40)
JOINED = st.lists(st.sampled_from([case[0] for case in CASES]), min_size=1, max_size=3).map(" ".join)


def _reading(text: str) -> str:
    try:
        return spoken(text, language="en")
    except Unreadable:
        return "unspeakable"


def _pieces(text: str) -> list[Piece]:
    try:
        return read_pieces(text, language="en")
    except Unreadable:
        return []


@pytest.mark.parametrize(("written", "accepted"), CASES, ids=[case[0] for case in CASES])
def test_readings_by_kind(written: str, accepted: str) -> None:
    assert _reading(written).rstrip(".") in [reading.rstrip(".") for reading in accepted.split(" | ")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Café — naïve", "cafe, naive"),
        ("It's \u201cok\u201d (mostly): yes", "it's ok, mostly, yes"),
        ("a  b\n\tc", "a b c"),
        ("...", ""),
        ("", ""),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
        ("in 0.5 m, 24/7, -3", "in zero point five meters, twenty four seven, minus three"),
        ("I may go. May I? He met Dr. X", "i may go. may i? he met doctor x"),
        ("born in 1984 in London, 3 in a row", "born in nineteen eighty four in london, three in a row"),
        ("a 5 in. nail, 6 in by 4 in, 8 in long", "a five inch nail, six inches by four inches, eight inches long"),
        ("2½ cups, 2 1/2 tsp, 3/4 km", "two and a half cups, two and a half teaspoons, three quarters kilometer"),
        ("at −5 °C, 40º, -£5", "at minus five degrees celsius, forty degrees, minus five pounds"),
        ("£3.5m, 40 000 people", "three point five million pounds, forty thousand people"),
        ("5 × 10 cm, 3:1", "five by ten centimeters, three to one"),
        ("9/10 of people in 30 min", "nine tenths of people in thirty minutes"),
        ("The end. He left (yes).", "the end. he left, yes."),
    ],
)
def test_signs_together(written: str, read: str) -> None:
    assert spoken(written, language="en") == read


@pytest.mark.parametrize(
    "written", ["東京", "5/0", "99:99", "12/05/2010", "10.5.2020", "the 9/10 people", "a :) b", "\x1b", "e\u20dd"]
)
def test_what_no_rule_is_sure_of_is_refused(written: str) -> None:
    with pytest.raises(Unreadable):
        read_pieces(written, language="en")


def test_a_refusal_names_the_part_its_place_and_the_reason() -> None:
    with pytest.raises(Unreadable, match="'10-12' at character 8 cannot be read aloud: ") as refused:
        read_pieces("look at 10-12", language="en")
    assert (refused.value.sign, refused.value.start) == ("10-12", 8)
    assert "range" in refused.value.reason


@pytest.mark.parametrize(
    ("written", "piece"),
    [
        ("Sales of $3.5 million fell.", "$3.5 million"),
        ("World War II began.", "World War II"),
        ("from July 4-6 on", "July 4-6"),
        ("call 212-555-1234 now", "212-555-1234"),
        ("it is 9.8 m/s2 here", "9.8 m/s2"),
        ("aged 5 in the", "5"),
        ("at 5:30 p.m. today", "5:30 p.m."),
        ("Łódź ½ km", "½ km"),
    ],
)
def test_a_unit_is_one_piece(written: str, piece: str) -> None:
    assert piece in [written[start:end] for start, end, _ in read_pieces(written, language="en")]


def test_no_latin_letter_is_left_out_silently() -> None:
    letters = [sign for sign in map(chr, range(0x20000)) if unicodedata.name(sign, "").startswith("LATIN ")]
    letters = [sign for sign in letters if unicodedata.category(sign)[0] == "L"]
    assert len(letters) > 980
    lost = [sign for sign in letters if _reading(f"a{sign}a") not in (f"a{fold_sign(sign).lower()}a", "unspeakable")]
    assert not lost
    assert not [sign for sign in letters if not fold_sign(sign)]


def test_every_currency_sign_is_named_or_refused() -> None:
    signs = [sign for sign in map(chr, range(0x20000)) if unicodedata.category(sign) == "Sc"]
    assert len(signs) > 50
    assert not [sign for sign in signs if _reading(f"{sign}5 then") in ("five then", "then")]


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.text(), WRITTEN, JOINED))
@example("\ufeff")
@example("ǆ ŉ")
@example("1" * 5000 + "th")
@example("$" + "1" * 5000 + ".00")
def test_pieces_cover_the_text(text: str) -> None:
    pieces = _pieces(text)
    if pieces:
        assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]
        assert pieces[-1].end == len(text)
        assert all(piece.start < piece.end for piece in pieces)
        assert joined(pieces, language="en") == spoken(text, language="en")


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.text(), WRITTEN, JOINED))
def test_every_digit_letter_and_sign_lies_in_a_piece_with_words_or_is_punctuation(text: str) -> None:
    unsaid = set("\"“”„«»'‘’-–()[].,;:?!…•") | {"\u2013"}
    for start, end, words in _pieces(text):
        written = text[start:end]
        if re.search(r"\d", written) or any(sign.isalpha() for sign in written):
            assert re.search("[a-z]", words), written
        elif not words:
            assert all(sign.isspace() or sign in unsaid or not fold_sign(sign) or fold_sign(sign) in unsaid or
                       fold_sign(sign).isspace() for sign in written), written  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 99_999_999), min_size=1, max_size=5), st.sampled_from([" ", ", ", "-", "/", ":", "."]))
def test_no_number_vanishes(numbers: list[int], between: str) -> None:
    text = "a " + between.join(map(str, numbers)) + " b"
    said = _reading(text)
    if said != "unspeakable":
        assert len(said.split()) >= 2 + len(numbers), said
    assert not re.search(r"\d", said)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), WRITTEN))
def test_a_reading_has_the_small_alphabet(text: str) -> None:
    once = _reading(text)
    assert set(once) <= set("abcdefghijklmnopqrstuvwxyz.,?!' ")
    assert "  " not in once and once == once.strip()


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="abcABC IVX.,?!'st", max_size=40))
def test_text_of_plain_words_is_read_alike_as_a_whole_and_by_pieces(text: str) -> None:
    try:
        pieces = read_pieces(text, language="en")
    except Unreadable:
        return
    assert joined(pieces, language="en") == spoken(text, language="en")


@pytest.mark.parametrize("written", [case[0] for case in CASES])
def test_reading_twice_changes_nothing(written: str) -> None:
    once = _reading(written)
    assert once == "unspeakable" or _reading(once) == once
