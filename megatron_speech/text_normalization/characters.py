"""Character classes: the kind (`Class`) of every character of a text, found for the whole text at once.

NumPy looks the classes up in one table over all of Unicode, which is made at first use (about 0.1 s).
A look-up takes a few nanoseconds per character. Regular expressions per sentence would take longer than the rest of
interleaving.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np


class Class:
    """Kinds of characters that decide whether and how text is read aloud; integers, which NumPy handles fastest."""

    COUNT = 15

    SPACE = 0
    LATIN = 1
    UPPER = 2
    """A Latin capital."""
    DIGIT = 3
    HAN = 4
    OTHER = 5
    """A letter or digit of any other script, the phonetic alphabet included."""
    PLAIN = 6
    """Punctuation."""
    QUOTE = 7
    SIGN = 8
    """Rare in prose, frequent in code and markup."""
    ADDRESS = 9
    """/ @ &"""
    MATH = 10
    CONTROL = 11
    """Control characters, unassigned and private code points, and the replacement character U+FFFD."""
    NEUTRAL = 12
    """Currency signs, emoji and modifiers: either read or safe to leave out."""
    MARK = 13
    """Combining marks and invisible formatting, which belong to the character before."""
    INITIAL = 14
    """A Latin capital after white space; not in the table, only in the counts of `speakable`."""


_FIRST_UNUSED = 0x323B0
_LATIN = ((0x41, 0x5B), (0x61, 0x7B), (0xAA, 0xAB), (0xBA, 0xBB), (0xC0, 0x250), (0x1E00, 0x1F00), (0x2C60, 0x2C80),
          (0xA722, 0xA800), (0xFB00, 0xFB07), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B))  # fmt: skip
_HAN = ((0x2E80, 0x2FE0), (0x3005, 0x3008), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))
_SIGNS, _ADDRESS, _QUOTES = "{}<>\\|_#*`^~=[]", "/@&", '"“”„«»「」『』〝〞＂'
_PLAIN, _NEUTRAL = "−ʻʼ+～", "×÷±¬"
_CLAUSE_ENDS = ',.;:!?…—–)”"，。；：！？、）」』》'


def code_points(text: str) -> np.ndarray:
    """Code points of `text`: uint32 [characters]; a lone surrogate is kept."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def character_classes(points: np.ndarray) -> np.ndarray:
    """`Class` of every code point: uint8, the shape of `points`."""
    classes: np.ndarray = _table()[points]
    return classes


def ends_clause(points: np.ndarray) -> np.ndarray:
    """Whether a pause may follow each character: bool, the shape of `points`."""
    return np.isin(points, [ord(char) for char in _CLAUSE_ENDS])


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """`Class` of every code point: uint8 [0x110000]; code points unknown to Python's tables are CONTROL."""
    table = np.full(0x110000, Class.CONTROL, dtype=np.uint8)
    table[:_FIRST_UNUSED] = [_of_category(chr(point)) for point in range(_FIRST_UNUSED)]
    table[0xE0000:0xE0200] = Class.MARK
    for ranges, kind in ((_LATIN, Class.LATIN), (_HAN, Class.HAN)):
        for start, end in ranges:
            inside = table[start:end]
            inside[inside == Class.OTHER] = kind
    latin = [point for point in range(0x10000) if table[point] == Class.LATIN and chr(point).isupper()]
    table[latin] = Class.UPPER
    for characters, kind in (
        (_SIGNS, Class.SIGN),
        (_ADDRESS, Class.ADDRESS),
        (_QUOTES, Class.QUOTE),
        (_PLAIN, Class.PLAIN),
        (_NEUTRAL, Class.NEUTRAL),
        ("\ufffd", Class.CONTROL),
    ):
        table[[ord(character) for character in characters]] = kind
    return table


def _of_category(character: str) -> int:
    category = unicodedata.category(character)
    if character.isspace():
        return Class.SPACE
    if category == "Nd":
        return Class.DIGIT if unicodedata.normalize("NFKC", character).isascii() else Class.OTHER
    if category in ("No", "Nl"):  # fractions, superscripts, circled and Roman numerals
        return Class.HAN if character == "〇" else Class.DIGIT
    if category[0] == "L":
        return Class.OTHER
    if category[0] == "P":
        return Class.PLAIN
    if category == "Sm":
        return Class.MATH
    if category[0] == "M" or category == "Cf":
        return Class.MARK
    return Class.CONTROL if category[0] == "C" else Class.NEUTRAL
