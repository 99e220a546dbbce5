"""Chinese as it is read aloud: every character is read, is silent, or makes the text unreadable.

    2024年5月，GPT-4 --> (2024年5月: 二零二四年五月) (，: ，) (GPT-4: GPT四)

Chinese characters and Latin letters stand for themselves, punctuation for a pause, quotation marks for nothing. What
holds a digit or a sign is read by its form (`forms`), with a look at what stands around it; two readings that
may both be meant are none. Time is linear: forms are bounded, and looked for where a digit or a sign stands only.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from megatron_speech.text_normalization.chinese.amounts import Around
from megatron_speech.text_normalization.chinese.forms import FORMS, SEEN_BEFORE, SEEN_BEHIND
from megatron_speech.text_normalization.chinese.numbers import cardinal, digit_by_digit
from megatron_speech.text_normalization.chinese.signs import HAN, HAN_CHARACTER, sign
from megatron_speech.text_normalization.chinese.units import UNITS
from megatron_speech.text_normalization.pieces import Piece, Unreadable

_LATIN = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
_MODEL = re.compile(r"[A-Za-z]+(?:-?[0-9]+(?:\.[0-9]+)?[A-Za-z]*)+(?![0-9'])")
_MODEL_PART = re.compile(r"[A-Za-z]+|[0-9]+(?:\.[0-9]+)?")
_MODEL_BEHIND = re.compile(r"[0-9]+(?:\.[0-9]+)?(?![0-9A-Za-z.,:/\-])")
_NUMBERED = re.compile(r"([0-9]{1,2}|1080|720|480|2160)([A-Za-z]+)(?![A-Za-z0-9\-/.])")
_INITIALS = re.compile(r"(?:[A-Z]\.){2,}")
_ROMAN, _ROMAN_BEFORE = re.compile(r"[IVX]{2,}(?![A-Za-z'0-9-])"), tuple("期型级类代世章卷部度")
_SOLID = re.compile(r"[!-'*+\--:<-~]{1,40}")
"""ASCII without white space and , ; ( )."""
_SPLIT = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]{1,20}[0-9½⅓⅔¼¾]")
"""White space between two numbers, which a voice would run together."""
_POWERS = frozenset(("m2", "m3", "km2", "cm2", "cm3", "mm2"))
_TO_WORDS = re.compile(r"(?!H2O)[A-Z]2[A-Z](?![A-Za-z])")
_NO_NAMES = frozenset(("x", "X", "am", "pm", "AM", "PM", "w"))
_C_PLUS_PLUS = re.compile(r"(?<![A-Za-z0-9])C\+\+(?!\+)")
_MONEY = tuple("元块人左右粉多")
"""Behind 10W these say that it is 10万."""
_BARE = re.compile(r"[0-9.,]+")
_CODE_BEFORE = re.compile(r"[A-Za-z][A-Za-z']* $")
_DIGITS = tuple("0123456789")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]")
_GLUED = frozenset(string.ascii_letters + string.digits + ".")
"""In front of a digit these belong to it."""
_STARTS_FORM = re.compile(r"[0-9$¥€£₹₩₽฿±−-]|US\$|HK\$|NT\$|(?:RMB|USD|CNY|EUR|GBP|HKD|JPY)\s?[0-9]")
_PLAIN = re.compile(r"[\u4e00-\u9fff](?:[，、。？！]?[\u4e00-\u9fff])*[。？！]?")
_PAUSE_RUN, _BETWEEN_LATIN = re.compile(r"([。，、？！])[。，、？！]+"), re.compile(r"[A-Za-z']$")


def read_chinese(text: str) -> list[Piece]:
    """Consecutive pieces that cover `text`, a Chinese character each where it stands for itself; Unreadable."""
    plain = text.translate(_folds())
    pieces: list[Piece] = []
    place = 0
    while place < len(text):
        if "\u4e00" <= plain[place] <= "\u9fff":
            pieces.append(Piece(place, place + 1, plain[place]))
            place += 1
            continue
        end, words = _read_at(plain, text, place)
        pieces.append(Piece(place, end, words))
        place = end
    return pieces


def is_plain(text: str) -> bool:
    """Whether `text` is Chinese characters and single pauses: its reading is itself."""
    return _PLAIN.fullmatch(text) is not None


def odd_pieces(text: str) -> list[Piece]:
    """Those pieces of `read_chinese` whose words are not what is written; Unreadable."""
    pieces = ((piece, text[piece.start : piece.end]) for piece in read_chinese(text))
    return [piece for piece, source in pieces if piece.words != source and not source.isspace()]


def join_chinese(words: Iterable[str]) -> str:
    """Words of pieces as one text: one space between Latin words, one pause where several meet."""
    said = ""
    parts: list[str] = []
    for word in words:
        if not word:
            continue
        if said and _BETWEEN_LATIN.search(said) and word[0].isascii():
            parts.append(" ")
        parts.append(word)
        said = word
    text = _PAUSE_RUN.sub(r"\1", "".join(parts)).strip("，、")
    return text if re.search(rf"[A-Za-z{HAN}]", text) else ""


def _read_at(plain: str, text: str, place: int) -> tuple[int, str]:
    """End and words of the piece that begins at `place`."""
    character = plain[place]
    if "\u3400" <= character <= "\u4dbf":
        return place + 1, character
    if character.isspace() or _INVISIBLE.match(character):
        return place + 1, ""
    if found := _form(plain, place):
        return found
    if character.isascii() and character.isalpha():
        return _latin(plain, text, place)
    words = sign(plain, place)
    if words is None:
        raise _unreadable(plain, text, place)
    return place + 1, words


def _form(plain: str, place: int) -> tuple[int, str] | None:
    if not _STARTS_FORM.match(plain, place):
        return None
    if numbered := _numbered(plain, place):
        return numbered
    if place and plain[place] in _DIGITS and plain[place - 1] in _GLUED:
        return None
    before = plain[max(0, place - SEEN_BEFORE) : place]
    for expression, reading in FORMS:
        if found := expression.match(plain, place):
            words = reading(found, Around(before, plain[found.end() : found.end() + SEEN_BEHIND]))
            if words is not None and not (_BARE.fullmatch(found[0]) and _SPLIT.match(plain, found.end())):
                return found.end(), words
    return _behind_latin(plain, place)


def _numbered(plain: str, place: int) -> tuple[int, str] | None:
    """5G, 3D, 1080p: letters that are no unit."""
    found = _NUMBERED.match(plain, place)
    if not found or found[2] in _NO_NAMES or (found[2] == "W" and plain[found.end() : found.end() + 1] in _MONEY):
        return None
    is_named = found[2] in ("s", "c") and _CODE_BEFORE.search(plain[max(0, place - SEEN_BEFORE) : place])
    if found[2] in UNITS and not is_named:
        return None
    digits = found[1]
    return found.end(), (cardinal(digits) if len(digits) < 3 else digit_by_digit(digits)) + found[2]


def _behind_latin(plain: str, place: int) -> tuple[int, str] | None:
    """The number of a model behind its name: iPhone 15."""
    found = _MODEL_BEHIND.match(plain, place)
    seen = plain[max(0, place - SEEN_BEFORE) : place]
    if not found or not _CODE_BEFORE.search(seen) or _SPLIT.match(plain, found.end()):
        return None
    words = _model_number(found[0])
    return None if words is None else (found.end(), words)


def _latin(plain: str, text: str, place: int) -> tuple[int, str]:
    if found := _INITIALS.match(plain, place):
        return found.end(), found[0].replace(".", "")
    if _C_PLUS_PLUS.match(plain, place):
        return place + 3, "C加加"
    if found := _MODEL.match(plain, place):
        words = [_model_number(part) if part[0].isdigit() else part for part in _MODEL_PART.findall(found[0])]
        if (
            None in words
            or found[0] in _POWERS
            or _TO_WORDS.match(plain, place)
            or plain[found.end() : found.end() + 1] in tuple("-/_@")
        ):
            raise _unreadable(plain, text, place)
        return found.end(), "".join(word for word in words if word)
    if found := _ROMAN.match(plain, place):
        value = _roman(found[0])
        if value is None or not (
            plain[found.end() : found.end() + 1] in _ROMAN_BEFORE or plain[place - 1 : place] == "第"
        ):
            raise _unreadable(plain, text, place)
        return found.end(), cardinal(str(value))
    found = _LATIN.match(plain, place)
    assert found is not None
    return found.end(), found[0]


def _model_number(digits: str) -> str | None:
    """Short numbers as such, longer ones digit by digit; 500 may be said in both ways."""
    if len(digits) > 8:
        return None
    if "." in digits:
        whole, _, fraction = digits.partition(".")
        return cardinal(digits) if len(fraction) == 1 and (whole == "0" or whole[0] != "0") else None
    if len(digits) <= 2 and (digits[0] != "0" or digits == "0"):
        return cardinal(digits)
    return None if digits.endswith("00") else digit_by_digit(digits)


def _roman(numeral: str) -> int | None:
    """II to XXXIX."""
    found = re.fullmatch(r"(X{0,3})(IX|IV|V?I{0,3})", numeral)
    if found is None:
        return None
    return 10 * len(found[1]) + {"IX": 9, "IV": 4}.get(found[2], 5 * ("V" in found[2]) + found[2].count("I"))


def _unreadable(plain: str, text: str, place: int) -> Unreadable:
    """With the whole of what was not read, up to the next white space, Chinese character or pause."""
    found = _SOLID.match(plain, place + 1)
    end = place + 1 if found is None else found.end()
    reason = "its reading is not sure" if re.search(r"[0-9]", plain[place:end]) else "no sign that is read aloud"
    return Unreadable(text[place:end], place, reason)


@lru_cache(maxsize=1)
def _folds() -> dict[int, str]:
    """Full-width signs, letters with marks and variants of Chinese characters as the character that is read."""
    folds = {0x3000: " ", 0xFFE5: "¥", 0x301C: "～"}
    for point in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00), *range(0xFF01, 0xFF5F)):
        base = unicodedata.normalize("NFKD", chr(point))[:1]
        rest = unicodedata.normalize("NFKD", chr(point))[1:]
        if base.isascii() and all(unicodedata.category(mark) == "Mn" for mark in rest):
            folds[point] = base
    for pause in "，；：（）！？～":  # pauses have a sign of their own
        folds.pop(ord(pause), None)
    for point in (*range(0x2E80, 0x2FE0), *range(0xF900, 0xFB00)):
        base = unicodedata.normalize("NFKC", chr(point))
        if len(base) == 1 and HAN_CHARACTER.fullmatch(base):
            folds[point] = base
    return folds
