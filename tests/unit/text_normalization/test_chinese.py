"""Chinese as it is read aloud: the table of readings, and that no character of any text is unaccounted for."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.text_normalization.chinese.numbers import cardinal
from megatron_speech.text_normalization.pieces import Unreadable
from megatron_speech.text_normalization.spoken import joined, read_pieces, spoken

ROWS = [
    line.split("\t") for line in Path(__file__).with_name("readings_zh.tsv").read_text(encoding="utf-8").splitlines()
]
"""Kind, text, readings that are right; "unspeakable" where nothing is sure."""
SILENT = re.compile("[\\s\"'“”‘’「」『』《》〈〉·・﹁﹂﹃﹄〝〞-]*")
NUMERALS, DIGITS = "零一二三四五六七八九", re.compile("[0-9]")
TEXTS = st.one_of(
    st.text(),
    st.text(
        alphabet="今天年月日号时点分第米元个万亿百千半0123456789.,:/-%￥$€℃~～—·“\"'&+×±°²½ⅢV①〇々，。（）kmGBA#aI  \n",
        max_size=14,
    ),
    st.lists(st.sampled_from([text for _, text, _ in ROWS]), max_size=4).map("".join),
)


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in ROWS}))
def test_readings_of_each_kind(kind: str) -> None:
    for _, text, accepted in (row for row in ROWS if row[0] == kind):
        try:
            said = spoken(text, language="zh")
        except Unreadable:
            said = "unspeakable"
        assert said in accepted.split(" | "), text


@settings(deadline=None, max_examples=300)
@given(TEXTS)
def test_every_character_is_read_or_silent_or_named(text: str) -> None:
    try:
        pieces = read_pieces(text, language="zh")
    except Unreadable as error:
        assert error.sign and text[error.start :].startswith(error.sign) and error.reason
        return
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces)][: len(pieces)]
    assert (pieces[-1].end if pieces else 0) == len(text)
    for piece in pieces:
        source = unicodedata.normalize("NFKC", text[piece.start : piece.end])
        if not piece.words:
            marks = "".join(char for char in source if unicodedata.category(char) not in ("Mn", "Cf"))
            assert SILENT.fullmatch(marks), piece
        if DIGITS.search(source):
            assert re.search(f"[{NUMERALS}十百千万两幺]", piece.words), piece
        for letters in re.findall("[A-Za-z]+", source):
            assert letters in piece.words or re.search(r"\d|[IVX]|\$", source), piece
        assert re.fullmatch("[A-Za-z'\u3400-\u4dbf\u4e00-\u9fff。，、？！]*", piece.words), piece


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_a_reading_is_read_as_itself(text: str) -> None:
    try:
        once = spoken(text, language="zh")
    except Unreadable:
        return
    assert spoken(once, language="zh") == once and once == once.strip()


@pytest.mark.parametrize("text", ["0VV", "XI5", "A4VV", "3IX"])
def test_letters_that_may_be_a_number_are_no_name(text: str) -> None:
    with pytest.raises(Unreadable):
        spoken(text, language="zh")


@given(st.integers(0, 10**16 - 1), st.booleans())
def test_no_digit_of_a_count_is_lost(number: int, two: bool) -> None:
    assert value(cardinal(str(number), two=two)) == number


def value(words: str) -> int:
    """What a count says, by its own rules: a power multiplies what stands before it."""
    for name, power in (("亿", 10**8), ("万", 10**4), ("千", 10**3), ("百", 10**2), ("十", 10)):
        high, found, low = words.rpartition(name)
        if found:
            return (value(high) if high else 1) * power + (value(low) if low else 0)
    return NUMERALS.index(words.replace("两", "二").lstrip("零") or "零")


@pytest.mark.parametrize(
    ("text", "sign", "start"),
    [
        ("他在302路车上", "302", 2),
        ("面积5*5米", "5*5", 2),
        ("好こ", "こ", 1),
        ("发到a@b.org。", "@b.org", 3),
        ("3.11.2版", "3.11.2", 0),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, sign: str, start: int) -> None:
    with pytest.raises(Unreadable) as caught:
        spoken(text, language="zh")
    assert (caught.value.sign, caught.value.start) == (sign, start)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("在2024年5月出版", ["2024年5月"]),
        ("增长了10-20%", ["10-20%"]),
        ("融资$3.5M", ["$3.5M"]),
        ("在10:30-11:00", ["10:30-11:00"]),
        ("GPT-4与70kg", ["GPT-4", "70kg"]),
    ],
)
def test_what_is_read_as_one_is_one_piece(text: str, units: list[str]) -> None:
    pieces = [text[piece.start : piece.end] for piece in read_pieces(text, language="zh")]
    assert [piece for piece in pieces if len(piece) > 1] == units


def test_a_part_of_the_pieces_is_read_with_its_neighbours() -> None:
    text = "比分是3:2，共有1234567人"
    pieces = read_pieces(text, language="zh")
    assert [joined([piece], language="zh") for piece in pieces if text[piece.start].isdigit()] == [
        "三比二",
        "一百二十三万四千五百六十七",
    ]
    with pytest.raises(Unreadable):
        spoken("1234567", language="zh")
