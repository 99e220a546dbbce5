"""Chinese text normalization: reads every character, leaves it out, or refuses the text as unreadable.

    2024年5月，GPT-4 --> (2024年5月: 二零二四年五月) (，: ，) (GPT-4: GPT四)

Chinese characters and Latin letters are read as written, punctuation as a pause; quotation marks are silent. Text
with digits or signs is read by its form (`forms`) and the characters around it. A form with two possible readings is
refused. The time is linear: forms have a bounded length and are tried only at a digit or a sign.
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
"""Up to 40 ASCII characters without white space and , ; ( )."""
_SPLIT = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]{1,20}[0-9½⅓⅔¼¾]")
"""White space before another number, which a voice would run together with the one before."""
_POWERS = frozenset(("m2", "m3", "km2", "cm2", "cm3", "mm2"))
_TO_WORDS = re.compile(r"(?!H2O)[A-Z]2[A-Z](?![A-Za-z])")
_NO_NAMES = frozenset(("x", "X", "am", "pm", "AM", "PM", "w"))
_C_PLUS_PLUS = re.compile(r"(?<![A-Za-z0-9])C\+\+(?!\+)")
_MONEY = tuple("元块人左右粉多")
"""Text after 10W that shows that it means 10万."""
_BARE = re.compile(r"[0-9.,]+")
_CODE_BEFORE = re.compile(r"[A-Za-z][A-Za-z']* $")
_DIGITS = tuple("0123456789")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]")
_GLUED = frozenset(string.ascii_letters + string.digits + ".")
"""Characters that belong to the digit after them."""
_STARTS_FORM = re.compile(r"[0-9$¥€£₹₩₽฿±−-]|US\$|HK\$|NT\$|(?:RMB|USD|CNY|EUR|GBP|HKD|JPY)\s?[0-9]")
_PLAIN = re.compile(r"[\u4e00-\u9fff](?:[，、。？！]?[\u4e00-\u9fff])*[。？！]?")
_PAUSE_RUN, _BETWEEN_LATIN = re.compile(r"([。，、？！])[。，、？！]+"), re.compile(r"[A-Za-z']$")


def read_chinese(text: str) -> list[Piece]:
    """Consecutive pieces that cover `text`; a Chinese character that is read as written is a piece of its own.

    Raises Unreadable.
    """
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
    """Whether `text` holds only Chinese characters and single pauses, so that its reading is itself."""
    return _PLAIN.fullmatch(text) is not None


def odd_pieces(text: str) -> list[Piece]:
    """Pieces of `read_chinese` with words that differ from the text.

    Raises Unreadable.
    """
    pieces = ((piece, text[piece.start : piece.end]) for piece in read_chinese(text))
    return [piece for piece, source in pieces if piece.words != source and not source.isspace()]


def join_chinese(words: Iterable[str]) -> str:
    """Join words of consecutive pieces, with one space between Latin words and one mark per run of pauses."""
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
    """5G, 3D, 1080p: a number with letters that are not a unit."""
    found = _NUMBERED.match(plain, place)
    if (
        not found
        or found[2] in _NO_NAMES
        or _looks_roman(found[2])
        or (found[2] == "W" and plain[found.end() : found.end() + 1] in _MONEY)
    ):
        return None
    is_named = found[2] in ("s", "c") and _CODE_BEFORE.search(plain[max(0, place - SEEN_BEFORE) : place])
    if found[2] in UNITS and not is_named:
        return None
    digits = found[1]
    return found.end(), (cardinal(digits) if len(digits) < 3 else digit_by_digit(digits)) + found[2]


def _behind_latin(plain: str, place: int) -> tuple[int, str] | None:
    """A model number after a name: iPhone 15."""
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
        words = [_model_part(part) for part in _MODEL_PART.findall(found[0])]
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


def _looks_roman(letters: str) -> bool:
    """Whether letters are of Roman numerals alone, such as VV: a number to some readers, a name to others."""
    return bool(re.fullmatch("[IVX]{2,}", letters))


def _model_part(part: str) -> str | None:
    """The words of letters or of a number of a model's name; None if it can be read in two ways."""
    if part[0].isdigit():
        return _model_number(part)
    return None if _looks_roman(part) else part


def _model_number(digits: str) -> str | None:
    """A model number: up to two digits as a count, longer ones digit by digit; None for 500, which may be either."""
    if len(digits) > 8:
        return None
    if "." in digits:
        whole, _, fraction = digits.partition(".")
        return cardinal(digits) if len(fraction) == 1 and (whole == "0" or whole[0] != "0") else None
    if len(digits) <= 2 and (digits[0] != "0" or digits == "0"):
        return cardinal(digits)
    return None if digits.endswith("00") else digit_by_digit(digits)


def _roman(numeral: str) -> int | None:
    """Value of a Roman numeral up to XXXIX, or None."""
    found = re.fullmatch(r"(X{0,3})(IX|IV|V?I{0,3})", numeral)
    if found is None:
        return None
    return 10 * len(found[1]) + {"IX": 9, "IV": 4}.get(found[2], 5 * ("V" in found[2]) + found[2].count("I"))


def _unreadable(plain: str, text: str, place: int) -> Unreadable:
    """Error for the unreadable part at `place`, up to the next white space, Chinese character or pause."""
    found = _SOLID.match(plain, place + 1)
    end = place + 1 if found is None else found.end()
    reason = "its reading is not sure" if re.search(r"[0-9]", plain[place:end]) else "no sign that is read aloud"
    return Unreadable(text[place:end], place, reason)


@lru_cache(maxsize=1)
def _folds() -> dict[int, str]:
    """Translation of full-width signs, accented letters and variant Chinese characters to the character to read."""
    folds = {0x3000: " ", 0xFFE5: "¥", 0x301C: "～"}
    for point in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00), *range(0xFF01, 0xFF5F)):
        base = unicodedata.normalize("NFKD", chr(point))[:1]
        rest = unicodedata.normalize("NFKD", chr(point))[1:]
        if base.isascii() and all(unicodedata.category(mark) == "Mn" for mark in rest):
            folds[point] = base
    for pause in "，；：（）！？～":  # read by `sign` as full-width marks
        folds.pop(ord(pause), None)
    for point in (*range(0x2E80, 0x2FE0), *range(0xF900, 0xFB00)):
        base = unicodedata.normalize("NFKC", chr(point))
        if len(base) == 1 and HAN_CHARACTER.fullmatch(base):
            folds[point] = base
    return folds
