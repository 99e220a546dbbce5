"""English numbers in words, and the expressions and helpers that all rules of English share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from num2words import num2words

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]
"""An expression, and a function from its match to words; None lets the next rule try. It may raise Unsure."""

NUMBER = r"((?:\d{1,3}(?:,\d{3}){1,12}|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40})"
END = r"(?=[\s;?!)\]\"—…×±“]|[,:](?!\d)|'(?!\w)|\.(?!\w)|\Z)"
"""End of a number: nothing that could belong to it follows."""
_MONTH_STARTS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
END_OR_HYPHEN = rf"(?:{END}|(?=-[A-Za-z]{{2}}|–(?:{_MONTH_STARTS})))"
TO = r"\s?[-–]\s?"


def words_of(text: str) -> frozenset[str]:
    """Set of the words of `text`."""
    return frozenset(text.split())


_LONGEST_COUNT, _LONGEST_NUMBER = 7, 15
_FEW = frozenset(("people", "men", "women", "children", "police", "cattle", "sheep"))
_NO_NOUNS = words_of(
    "was is as has his its this us does thus perhaps always plus versus across besides towards afterwards unless "
    "is less yes ours hers theirs yours times class glass mass pass press process access success congress business "
    "chess grass loss boss address census crisis basis analysis thesis campus bus virus status focus bonus corpus "
    "circus chorus series species"
)


class Unsure(Exception):
    """Raised by a rule for a form with several readings or no certain one."""


def rule(expression: str, reading: Callable[[re.Match[str]], str | None], *, any_case: bool = False) -> Rule:
    """Compile `expression` into a rule."""
    return re.compile(expression, re.IGNORECASE if any_case else 0), reading


@lru_cache(maxsize=1 << 16)
def cardinal(digits: str) -> str:
    """A number as a count, with or without commas and a decimal point; digit by digit after a leading zero.

    Raises Unsure for "1.000", and for numbers of 7 to 15 digits without commas unless they end in 000.
    """
    whole, point, fraction = digits.replace(",", "").partition(".")
    if point and fraction == "000" and len(whole) <= 3:
        raise Unsure("a decimal or a thousand")
    if len(whole) >= _LONGEST_COUNT and "," not in digits and not whole.endswith("000"):
        if len(whole) <= _LONGEST_NUMBER:
            raise Unsure("a count or a code")
        return spell(whole) + _after_point(point, fraction)
    if len(whole) > _LONGEST_NUMBER or (len(whole) > 1 and whole[0] == "0"):
        return spell(whole) + _after_point(point, fraction)
    words = _plain(num2words(int(whole))) if whole else ""
    return (words + _after_point(point, fraction)).strip()


def _after_point(point: str, fraction: str) -> str:
    return f" point {spell(fraction)}" if point else ""


def _plain(words: str) -> str:
    return words.replace(",", "").replace("-", " ")


@lru_cache(maxsize=1 << 14)
def ordinal(digits: str) -> str:
    """ "21": twenty first."""
    return _plain(num2words(int(digits.replace(",", "")), to="ordinal"))


@lru_cache(maxsize=1 << 14)
def year(digits: str) -> str:
    """ "1905": nineteen oh five."""
    return _plain(num2words(int(digits), to="year"))


def spell(digits: str) -> str:
    """Digits read one by one; other characters are left out."""
    return " ".join(num2words(int(digit)) for digit in digits if digit.isdecimal())


def value(digits: str) -> float:
    """Numeric value of `digits`, which may hold commas."""
    return float(digits.replace(",", ""))


def plural(words: str) -> str:
    """ "twenty": twenties."""
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def roman(numeral: str) -> str | None:
    """Digits of a Roman numeral up to 2999 in its usual form, or None."""
    return NUMERALS.get(numeral)


def is_year(digits: str) -> bool:
    """Whether a number looks like a year: 1100 to 2099."""
    return re.fullmatch(r"1[1-9]\d\d|20\d\d", digits) is not None


def span_words(first: str, last: str) -> str | None:
    """A range of numbers, read as years if both look like years; None unless `last` is larger than `first`."""
    if is_year(first) and re.fullmatch(r"\d\d", last) and int(last) > int(first[2:]):
        return f"{year(first)} to {cardinal(last)}"
    if value(first) >= value(last):
        return None
    if is_year(first) and is_year(last):
        return f"{year(first)} to {year(last)}"
    return f"{cardinal(first)} to {cardinal(last)}"


def any_of(words: Iterable[str]) -> str:
    """Regular expression that matches any of the words, longer ones first."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


def word_before(found: re.Match[str]) -> str:
    """The word directly before a match, as written; empty if there is none."""
    word = re.search(r"([A-Za-z'.]+)[\s$(]*\Z", found.string[max(0, found.start() - 40) : found.start()])
    return word[1] if word else ""


def words_before(found: re.Match[str]) -> str:
    """The 50 characters before a match, in lower case."""
    return found.string[max(0, found.start() - 50) : found.start()].lower()


def word_after(found: re.Match[str]) -> str:
    """The word directly after a match, as written; empty if there is none."""
    word = re.match(r"[\s-]([A-Za-z]+)", found.string[found.end() : found.end() + 40])
    return word[1] if word else ""


def text_after(found: re.Match[str], length: int = 40) -> str:
    """The `length` characters after a match."""
    return found.string[found.end() : found.end() + length]


def ends_sentence(found: re.Match[str]) -> bool:
    """Whether the text ends after a match or continues with a capital."""
    return re.match(r"[\"“')\]]*(?:\s+[\"“'(]?[A-Z]|\s*\Z)", text_after(found)) is not None


def is_counted(word: str) -> bool:
    """Whether a word after a number looks like the thing counted: a lower-case plural."""
    return word in _FEW or (
        word.islower() and word.endswith("s") and not word.endswith("wards") and len(word) > 2 and word not in _NO_NOUNS
    )


def is_described(found: re.Match[str]) -> bool:
    """Whether a quantity describes a noun and takes the singular: "a $5 bill", "the $5 billion deal", "5-km race"."""
    before = word_before(found).lower()
    after = word_after(found)
    if before in ("a", "an"):
        return bool(after)
    return (
        before in ("the", "its", "his", "her", "their", "this")
        and after.islower()
        and after not in _AFTER_AMOUNTS
        and not after.endswith("ed")
    )


_AFTER_AMOUNTS = words_of(
    "a an in of for to on from at by with he she it they we you i that which who was were is are had has have "
    "would will could can may might and or but as than more less worth so when if after before over under per "
    "each into between apart away long wide high tall deep north south east west above below along across "
    "through around down up off there then ago later earlier "
    "paid made sold spent lost won given sent held left taken known built bought found cost put"
)


def _numerals() -> dict[str, str]:
    thousands, hundreds = ("", "M", "MM"), ("", "C", "CC", "CCC", "CD", "D", "DC", "DCC", "DCCC", "CM")
    tens = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC")
    ones = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
    all_parts = itertools.product(thousands, hundreds, tens, ones)
    return {"".join(parts): str(number) for number, parts in enumerate(all_parts) if number}


NUMERALS = _numerals()
"""Digits of each Roman numeral up to 2999."""
