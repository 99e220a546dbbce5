"""English punctuation and signs: pauses, signs that are read as words, and silent signs."""

from __future__ import annotations

import re
from collections.abc import Callable

from megatron_speech.text_normalization.english.dates import MONTH_NAMES
from megatron_speech.text_normalization.english.numbers import Rule, Unsure, any_of, rule, text_after


def _always(words: str) -> Callable[[re.Match[str]], str]:
    return lambda _: words


def _quotation_mark(found: re.Match[str]) -> str:
    """Silent; raises Unsure after a number, where it may mean inches, unless a quotation is open."""
    before = found.string[max(0, found.start() - 300) : found.start()]
    if before[-1:].isdecimal() and before.count('"') % 2 == 0:
        raise Unsure("inches, or a quotation mark")
    return ""


def _apostrophe(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 1) : found.start()]
    if before.isdecimal():
        raise Unsure("feet, or a quotation mark")
    if before and before in ".)]%" and re.match("s(?![A-Za-z])", text_after(found, 2)):
        raise Unsure("an s that belongs to a sign")
    return ""


def word_with_apostrophe(found: re.Match[str]) -> str | None:
    """ "dogs'", "goin'"; None if a single quotation mark is open."""
    before = found.string[max(0, found.start() - 200) : found.start()]
    return None if re.search(r"(?<!\w)'(?!\s)", before) else found[0].lower()


_MONTH = rf"(?:{any_of(MONTH_NAMES)})\.?\s"
_FULL_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_ERA = r"(?:\s(?:BCE?|AD|CE))?"
_DATED_BEFORE = re.compile(rf"\b{_MONTH}(?:\d{{1,2}},?\s)?\d{{3,4}}{_ERA}\s?\Z")
_DATED_BEHIND = re.compile(rf"\s?(?:\d{{1,2}}\s)?{_MONTH}(?:\d{{1,2}},?\s)?\d{{3,4}}(?!\d)")
_ABOUT = r"(?:c\.\s?|ca\.\s?|circa\s)?"
_LIVED_BEFORE = re.compile(rf"\((?:[^()]{{0,30}}[\s;,])?{_ABOUT}(\d{{3,4}})\s?\Z")
_LIVED_BEHIND = re.compile(rf"\s?{_ABOUT}(?:(?:\d{{1,2}}\s)?{_MONTH}(?:\d{{1,2}},?\s)?)?(\d{{3,4}})\)")


_SPACED_RANGES = (
    (re.compile(r"\d\s?°\s?[CF]?\s?\Z"), re.compile(r"\s?\d[\d.]*\s?°")),
    (re.compile(r"\d (?:BCE?|AD|CE)\s\Z"), re.compile(r"\s(?:AD\s\d|\d+\s(?:BC|AD|CE))")),
    (re.compile(rf"\b{_FULL_DAY}\s\Z"), re.compile(rf"\s{_FULL_DAY}\b")),
)
"""Pairs of expressions for the text before and after a dash that is read as "to"."""


def _dated_to(found: re.Match[str]) -> bool:
    """Whether a dash joins two dates: "May 1990 – June 1991", "(c. 1450 – 1502)"."""
    before, behind = found.string[max(0, found.start() - 60) : found.start()], text_after(found, 60)
    if _DATED_BEFORE.search(before) and (_DATED_BEHIND.match(behind) or _LIVED_BEHIND.match(behind)):
        return True
    first, last = _LIVED_BEFORE.search(before), _LIVED_BEHIND.match(behind)
    return first is not None and last is not None and int(first[1]) < int(last[1])


def _joins_dates(found: re.Match[str]) -> str | None:
    return "to" if _dated_to(found) else None


def _joins_days(found: re.Match[str]) -> str | None:
    before = found.string[max(0, found.start() - 9) : found.start()]
    return "to" if re.search(rf"\b{_FULL_DAY}\Z", before) else None


def _dash(found: re.Match[str]) -> str:
    """A pause, or "to" between dates and degrees; raises Unsure between other numbers."""
    before = found.string[max(0, found.start() - 12) : found.start()]
    behind = text_after(found, 12)
    if _dated_to(found) or any(first.search(before) and last.match(behind) for first, last in _SPACED_RANGES):
        return "to"
    if re.search(r"\d(?:st|nd|rd|th|%|°)?\s*\Z", before) and re.match(r"\s*[\d$£€]", text_after(found, 4)):
        raise Unsure("a dash, a range or a minus")
    return ","


def _era_dash(_: re.Match[str]) -> str:
    raise Unsure("a range of years")


def _cross(found: re.Match[str]) -> str:
    return "times" if re.match(r"\s?[\d.,]+\s?=", text_after(found, 20)) else "by"


_ELISIONS = "em|til|cause|tis|twas|bout|round|cos|nother|ere|fore|neath|kay"
RULES: list[Rule] = [
    rule(r'"', _quotation_mark),
    rule(r"“", _always("")),
    rule(r"(?<!the\s)'n'(?=\s)", _always("'n'")),
    rule(rf"'(?:{_ELISIONS})(?!\w)", lambda found: found[0].lower(), any_case=True),
    rule(r"'", _apostrophe),
    rule(r"\.++(?!\w)|…", _always(".")),
    rule(r"(?<=[a-z])\.(?=[A-Z])", _always(".")),
    rule(r"[?!][?!.]*", lambda found: "?" if "?" in found[0] else "!"),
    rule(r",|;(?=[\s\"“A-Za-z]|\Z)|:(?=[\s\"“']|\Z)|(?<=[a-z]):(?=[A-Z][a-z])", _always(",")),
    rule(r"(?<![\w(\[])\(|\)(?!\w)|(?<!\w)\[(?!\d+[\],])|\](?![\w(])", _always(",")),
    rule(r"(?:(?<=\s)|(?<=\A))[-–](?=\s)|(?<=\S)--+|--+(?=\s)|—+", _dash),
    rule(r"(?<=\d)[-–](?=[A-Z][a-z])", _joins_dates),
    rule(r"(?:(?<=BC)|(?<=CE)|(?<=AD))[-–](?=AD\s\d|\d+\s(?:BC|AD|CE))", _always("to")),
    rule(r"(?<=C\.)[-–](?=A\.D\.\s\d)", _always("to")),
    rule(r"(?<=BC|AD|CE)–", _era_dash),
    rule(rf"(?<=day)[-–](?={_FULL_DAY}\b)", _joins_days),
    rule(r"(?:(?<=noon)|(?<=midnight))[-–](?=\d)|(?<=[\dm.])[-–](?=(?:noon|midnight)\b)", _always("to")),
    rule(r"(?<=[A-Za-z.'\d%°½¼¾⅓⅔⅛⅜⅝⅞])[-–](?=[A-Za-z])", _always("")),
    rule(r"(?<=[A-Za-z])-(?=['\"“]?[A-Za-z])|(?<=[a-z\d])-(?=[\s,])", _always("")),
    rule(r"(?<=[a-z])-(?=\d)|(?:(?<=early)|(?<=late)|(?<=mid)|(?<=pre))–(?=\d)", _always("")),
    rule(r"(?<![\w)\]%°])[-–−](?=\.?\d|[$£€¥]\s?\d)", _always("minus")),
    rule(r"(?:(?<=\A)|(?<=\s))•(?=\s)", _always("")),
    rule(r"(?<=\s)-(?=[A-Za-z])", _always("")),
    rule(r"(?<=\s)\+(?=\s)|(?<![\w)])\+(?=\.?\d)|(?<=\b[A-F])\+(?![\w+])", _always("plus")),
    rule(r"(?<=\s)=(?=\s)", _always("equals")),
    rule(r"(?<=[A-Za-z\d]\s)×\s?(?=\d)|(?<=[A-Za-z\d])×\s?(?=\d)", _cross),
    rule(r"(?<=\d\s)÷\s?(?=\d)|(?<=\d)÷(?=\d)", _always("divided by")),
    rule(r"±\s?(?=\.?\d)", _always("plus or minus")),
    rule(r"~(?=[\d$£€])", _always("about")),
    rule(r"≈\s?(?=\d)", _always("approximately")),
    rule(r"(?<=\s)<\s?(?=\.?\d)", _always("less than")),
    rule(r"(?<=\s)>\s?(?=\.?\d)", _always("greater than")),
    rule(r"≤\s?(?=\.?\d)", _always("less than or equal to")),
    rule(r"≥\s?(?=\.?\d)", _always("greater than or equal to")),
    rule(r"(?<=\s)&(?=\s)|(?<=[A-Za-z])&(?=[A-Za-z])(?!\w+;)", _always("and")),
    rule(r"(?<=\s)@(?=\s)", _always("at")),
    rule(r"#\s?(?=\d{1,6}(?!\w))", _always("number")),
    rule(r"§\s?(?=\d)", _always("section")),
    rule(r"§§\s?(?=\d)", _always("sections")),
    rule(r"¶\s?(?=\d)", _always("paragraph")),
    rule(r"©\s?(?=\d{4}|[A-Z])", _always("copyright")),
]  # fmt: skip
