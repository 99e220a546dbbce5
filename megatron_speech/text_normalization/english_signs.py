"""English punctuation and signs: which shape speech, which have a name, and which may be left out."""

from __future__ import annotations

import re
from collections.abc import Callable

from megatron_speech.text_normalization.english_numbers import Rule, Unsure, rule, text_after


def _always(words: str) -> Callable[[re.Match[str]], str]:
    return lambda _: words


def _quotation_mark(found: re.Match[str]) -> str:
    """Nothing; but one after a number may mean inches, unless a quotation is open."""
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
    """ "dogs'", "goin'": no quotation is open."""
    before = found.string[max(0, found.start() - 200) : found.start()]
    return None if re.search(r"(?<!\w)'(?!\s)", before) else found[0].lower()


def _dash(found: re.Match[str]) -> str:
    """A pause; between two numbers it is anything."""
    before = found.string[max(0, found.start() - 5) : found.start()]
    if re.search(r"\d(?:st|nd|rd|th|%)?\s*\Z", before) and re.match(r"\s*[\d$£€]", text_after(found, 4)):
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
    rule(r"(?<=BC|AD|CE)–", _era_dash),
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
