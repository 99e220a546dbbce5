"""Signs in Chinese text: pauses, ranges, quotation marks, full stops and single-character numerals."""

from __future__ import annotations

import re
import unicodedata

from megatron_speech.text_normalization.chinese.amounts import ends_range
from megatron_speech.text_normalization.chinese.numbers import cardinal

HAN = "\u3400-\u4dbf\u4e00-\u9fff"
HAN_CHARACTER, _HAN_NUMERAL = re.compile(f"[{HAN}]"), frozenset("〇零一二三四五六七八九十百千")
_SHORTENED = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,4}$")
_PAUSES = {**dict.fromkeys("，,；;：:（）()［］[]【】〔〕—～~•", "，"), "、": "、", "。": "。", "…": "。",
           "！": "！", "!": "！", "？": "？", "?": "？"}  # fmt: skip
_SILENT = frozenset("“”‘’\"'「」『』《》〈〉·・﹁﹂﹃﹄〝〞")
_DIGITS = tuple("0123456789")
_WEEKDAY_BEFORE = re.compile("(?:周|星期|礼拜)[一二三四五六日天]$")
_WEEKDAY_BEHIND = re.compile("(?:周|星期|礼拜)[一二三四五六日天]")


def sign(plain: str, place: int) -> str | None:
    """Words, a pause or "" for the sign at `place`; None if its reading is not sure."""
    character = plain[place]
    before, behind = plain[place - 1 : place], plain[place + 1 : place + 2]
    # Dashes that may join a range.
    if character in "-–—~～":
        if _WEEKDAY_BEHIND.match(plain, place + 1) and _WEEKDAY_BEFORE.search(plain[max(0, place - 3) : place]):
            return "到"
        if behind and (behind in _DIGITS or behind == "第"):
            if ends_range(plain[max(0, place - 6) : place]):
                return "到"
            return "，" if character == "—" == before else None
        if character in "~～" and (before in _DIGITS or (before.isascii() and behind.isascii() and behind.isalnum())):
            return None
    # Punctuation.
    if character in _PAUSES:
        return None if character in ":;" and behind == "/" else _PAUSES[character]
    if character in _SILENT:
        return None if character in "·・'" and (before in _DIGITS or behind in _DIGITS) else _quote(plain, place)
    if character == ".":
        return _full_stop(plain, place)
    if character == "-":
        return _hyphen(before, behind)
    # Signs that are read.
    if character == "&":
        latin = before.strip().isascii() and behind.strip().isascii()
        return None if not (before.isalpha() and behind.isalpha()) else "and" if latin else "和"
    if character == "々":
        return before if HAN_CHARACTER.fullmatch(before) else None
    if character == "〇":
        return "零" if before in _HAN_NUMERAL or behind in _HAN_NUMERAL else None
    if unicodedata.category(character) in ("No", "Nl"):
        return None if before in _DIGITS or behind in _DIGITS else _numeral(character)
    return "" if unicodedata.category(character) == "Mn" and before.isascii() and before.isalpha() else None


def _quote(plain: str, place: int) -> str | None:
    """A silent quotation mark; None if it may mean inches."""
    is_inch = plain[place] == '"' and plain[place - 1 : place] in _DIGITS
    opened = plain.count('"', max(0, place - 40), place) % 2 == 1
    return None if is_inch and not opened else ""


def _full_stop(plain: str, place: int) -> str | None:
    before, behind = plain[place - 1 : place], plain[place + 1 : place + 2]
    if behind.isascii() and behind.isalnum():
        is_list = re.search(r"(?:^|\n)\s*[0-9]{1,2}$", plain[max(0, place - 5) : place]) and behind.isalpha()
        return "，" if is_list else None
    if _SHORTENED.search(plain[max(0, place - 5) : place]) and re.match(
        r"\s+[A-Za-z0-9]", plain[place + 1 : place + 4]
    ):
        return None
    return "，" if before in _DIGITS and place <= 2 else "。"


def _hyphen(before: str, behind: str) -> str | None:
    if before.isascii() and before.isalpha() and behind.isascii() and behind.isalpha():
        return ""
    return "，" if behind == "-" or before == "-" or (behind.isspace() and (not before or before.isspace())) else None


def _numeral(character: str) -> str | None:
    """Words of a numeral in one character: ①, Ⅲ, ½."""
    name, value = unicodedata.name(character, ""), unicodedata.numeric(character)
    if "FRACTION" in name:
        top, _, bottom = unicodedata.normalize("NFKC", character).partition("\u2044")
        return f"{cardinal(bottom)}分之{cardinal(top)}" if top and bottom else None
    known = name.startswith(("CIRCLED", "PARENTHESIZED", "ROMAN NUMERAL", "SMALL ROMAN NUMERAL", "DIGIT"))
    return cardinal(str(int(value))) if known and value == int(value) and 0 < value <= 50 else None
