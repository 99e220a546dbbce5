"""English percentages, fractions, ratios, ranges, ordinals and bare numbers in words."""

from __future__ import annotations

import math
import re

from megatron_speech.text_normalization.english.dates import MONTH_NAMES, is_small_date
from megatron_speech.text_normalization.english.numbers import (
    END,
    END_OR_HYPHEN,
    NUMBER,
    TO,
    Rule,
    Unsure,
    cardinal,
    is_counted,
    is_year,
    ordinal,
    rule,
    span_words,
    spell,
    text_after,
    value,
    word_after,
    word_before,
    words_before,
    words_of,
    year,
)
from megatron_speech.text_normalization.english.units import UNIT, is_other_case, unit_name

_DENOMINATORS = {"2": "half", "3": "third", "4": "quarter"}
_PLAIN_DENOMINATORS = ("2", "3", "4", "5", "6", "7", "8", "9", "16", "32", "64")
_FRACTION_SIGNS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
                   "⅞": "7/8"}  # fmt: skip
_SAYINGS = {"24/7": "twenty four seven", "9/11": "nine eleven", "50/50": "fifty fifty", "20/20": "twenty twenty",
            "50-50": "fifty fifty"}  # fmt: skip
_DATE_CUES = ("on", "since", "by", "until", "till", "from", "dated", "to")
_RATIO_CUES = ("ratio", "odds", "scale", "score", "by", "won", "lost", "beat", "chance")
_YEAR_CUES = words_of(
    "in since by until till from to of year and before after during between around circa about early late mid "
    "through the this that summer winter spring autumn fall january february march april may june july august "
    "september october november december"
)
_STRICT_YEAR_CUES = frozenset(("in", "since", "by", "until", "year", "before", "after", "from"))
_CODES = words_of(
    "figure figures fig table section room flight model number no route highway article interstate bus code phone "
    "isbn type part serial version apartment unit zip exercise example equation eq gate suite bulletin psalm"
)
_GRADED = words_of(
    "Level Levels Grade Grades Class Classes Phase Stage Year Years Type Types Chapter Page Tier Category"
)
_SPELT_BEFORE = frozenset(("call", "dial", "called", "dialed", "calling", "dialing"))
_THREE_DIGIT_NAMES = words_of(
    "flight room route highway interstate boeing airbus bus mercedes peugeot porsche bmw channel suite apartment us"
)
_SAID_IN_TWO = words_of("Flight Room Route Highway Interstate Boeing Peugeot Suite")
_LENGTHS = ("metres", "meters", "kilometres", "kilometers", "miles", "feet", "yards", "people")
_YEARS_BEFORE = re.compile(r"\b(?:from|between) \d{3,4} (?:to|and) \Z")
_CONSONANTS = "[b-df-hj-np-tv-xz]"
_UNKNOWN_UNIT = re.compile(
    rf"\s(?:(?:hundred|thousand|million|billion|trillion)\s)?(?!vs\b|(?:St|Mrs?|Dr)\s)(?:{_CONSONANTS}{{2,5}}|[B-DF-HJ-NP-TV-XZ]{_CONSONANTS}{{1,4}}(?!\.)|[a-z]{{2,5}}(?=\.\s[a-z]))(?![\w'])"
)
"""A word without vowels, or one with a stop within a sentence, abbreviates something: "3 kt", "60 mil. died"; but "in
1953 Mt. Everest"."""
_UNKNOWN_BEFORE = re.compile(rf"(?!vs\Z){_CONSONANTS}{{2,5}}")
_PERIOD = re.compile(r"\b(?:q[1-4]|h[12])\s\Z")
"""A quarter or half before a year."""
_ZIP = re.compile(r"(?:\b[A-Z]{2},?|(?i:zip(?: code)?|postcode))\s\Z")


def _percent(found: re.Match[str]) -> str | None:
    first, first_sign, last = found[1], found[2], found[3]
    if last is None:
        return f"{cardinal(first)} percent"
    if value(last) <= value(first):
        raise Unsure("a range that goes back")
    return f"{cardinal(first)}{' percent' if first_sign else ''} to {cardinal(last)} percent"


def _fraction_words(top: str, bottom: str) -> str:
    if bottom in _DENOMINATORS:
        name = _DENOMINATORS[bottom]
        several = "halves" if bottom == "2" else name + "s"
    else:
        name = ordinal(bottom)
        several = name + "s"
    return f"{cardinal(top)} {name if top == '1' else several}"


def _mixed(whole: str | None, top: str, bottom: str) -> str:
    """ "2 1/2": two and a half."""
    said = _fraction_words(top, bottom)
    if whole is None:
        return said
    return f"{cardinal(whole)} and {'a' + said[3:] if top == '1' and bottom in '24' else said}"


def _fraction(found: re.Match[str]) -> str | None:
    """ "3/4", "2 1/2 km", "1/2-inch"."""
    whole, top, bottom, gap, sign = found.group(1, 2, 3, 4, 5)
    if whole is None and sign is None:
        _require_fraction(found, top, bottom)
    is_proper = 0 < int(top) < int(bottom) <= 100
    is_usual = math.gcd(int(top), int(bottom)) == 1 and bottom in _PLAIN_DENOMINATORS
    if not is_proper or not (is_usual or re.match(r"\sof\s", text_after(found, 5))):
        raise Unsure("a fraction, a date or a score")
    said = _mixed(whole, top, bottom)
    return said + (f" {unit_name(found, 5, is_plural=whole is not None and gap != '-')}" if sign else "")


def _require_fraction(found: re.Match[str], top: str, bottom: str) -> None:
    if word_before(found).lower() in _DATE_CUES and word_after(found) not in ("of", "cup", "inch", "mile", "teaspoon"):
        raise Unsure("a fraction or a date")
    if not MONTH_NAMES.isdisjoint((word_before(found).rstrip("."), word_after(found))):
        raise Unsure("a fraction, or days of a month")
    if word_before(found).lower() in _CODES or word_before(found) in _GRADED:
        raise Unsure("a fraction, or two numbers")
    if word_after(found) in ("time", "measure", "meter", "beat", "signature", "stars"):
        raise Unsure("a fraction, or two numbers")


def _fraction_sign(found: re.Match[str]) -> str:
    top, bottom = _FRACTION_SIGNS[found[2]].split("/")
    said = _mixed(found[1], top, bottom)
    return said + (f" {unit_name(found, 4, is_plural=found[1] is not None and found[3] != '-')}" if found[4] else "")


def _ratio(found: re.Match[str]) -> str | None:
    first, last = found[1], found[2]
    if re.search(r"\d:\d+(?:[-–]\d+)?[;,] \Z", words_before(found)):
        raise Unsure("a ratio, or a verse")
    is_cued = any(re.search(rf"\b{cue}\b", words_before(found)) for cue in _RATIO_CUES) or word_after(found) == "ratio"
    if is_cued or ((len(last) == 1 or last == "100") and not word_before(found)[:1].isupper()):
        return f"{cardinal(first)} to {cardinal(last)}"
    raise Unsure("a ratio, a time or a verse")


def _range(found: re.Match[str]) -> str | None:
    """ "10-12 people", "1914-18", "won 3-2"."""
    first, last = found[1], found[2]
    before, after = word_before(found).lower().rstrip("."), word_after(found)
    if before in _CODES or (first, last) in (("9", "11"), ("7", "11"), ("24", "7")):
        raise Unsure("a range, or a name")
    if any(number.startswith("0") and number[1:2] not in ("", ".") for number in (first, last)):
        raise Unsure("a range, or a code")
    if is_year(first) and len(last) == 2 and int(last) <= 12:
        raise Unsure("years, or a year and a month")
    said = span_words(first, last)
    if re.match(r"\s(?:BCE?|B\.C\.)", text_after(found, 6)):
        return f"{_old_year(first)} to {_old_year(last)}"
    if is_year(first):
        return said
    if said and "–" in found[0] and not re.match(r"\s[A-Z]{1,2}\b", text_after(found, 4)):
        is_dated = first < "1100" if len(first) == len(last) == 4 else is_year(last) and text_after(found, 1) == ")"
        return f"{_old_year(first)} to {_old_year(last)}" if is_dated else said
    if _SCORED.search(words_before(found)) or after in _SCORES:
        return f"{cardinal(first)} to {cardinal(last)}"
    is_ranged = before in _RANGED or _LISTED.search(words_before(found)) is not None
    if said and (is_ranged or (after.islower() and after not in _NOT_COUNTED)):
        return said
    raise Unsure("a range, a score or a date")


def _old_year(digits: str) -> str:
    return year(digits) if re.fullmatch(r"1\d{3}|20\d\d", digits) else cardinal(digits)


_SCORED = re.compile(
    r"\b(?:w[oi]n|lost|lose|beat|defeat\w*|score|victory|tied|drew|led|lead|voted?|passed|margin|scored?|ended|finished|drawn)\b"
)
_SCORES = words_of(
    "win wins victories scores losses defeats victory loss defeat lead draw tie record vote decision score"
)
_LISTED = re.compile(r"\b(?:pages?|pp\.?|ages?|verses?|chapters?|lines?) [\d, –-]+\Z")
_NOT_COUNTED = words_of("in at on and the he is was")
_RANGED = words_of("aged ages age pages page pp chapters verses lines about approximately around years from")


def _bare(found: re.Match[str]) -> str | None:
    """A bare number: a year if it looks like one and no counted thing follows, else a count."""
    digits = found[1]
    before, after = word_before(found).lower(), word_after(found)
    following = text_after(found, 6)
    # Numbers with several readings.
    if re.match(r"\s\d{3}(?!\d|,\d|[-/:])", following) and len(digits) <= 3 and "." not in digits:
        raise Unsure("groups of digits, or two numbers")
    if re.fullmatch(r"\d{1,3}\.\d{3}", digits) and is_counted(after):
        raise Unsure("a decimal or a thousand")
    if is_small_date(found):
        raise Unsure("a date in small letters")
    if (
        is_other_case(after)
        or _UNKNOWN_UNIT.match(text_after(found, 20))
        or _UNKNOWN_BEFORE.fullmatch(word_before(found))
    ):
        raise Unsure("a unit, or other letters")
    if re.fullmatch(r"0\d+", digits) and (re.match(r"\s\d", following) or after in ("hours", "h")):
        raise Unsure("a number by its digits, or a time")
    if re.match(r"-(?:present|now|today)\b", text_after(found, 9)):
        raise Unsure("a range of years")
    # Codes and names, read digit by digit or in two parts.
    if (before in _SPELT_BEFORE and len(digits) == 3) or words_before(found).endswith("ending in "):
        return spell(digits)
    if len(digits) == 5 and _ZIP.search(found.string[max(0, found.start() - 10) : found.start()]):
        return spell(digits)
    if (
        before in _THREE_DIGIT_NAMES
        and after not in _LENGTHS
        and re.fullmatch(r"\d{3,}", digits)
        and not digits.endswith("00")
    ):
        if word_before(found) in _SAID_IN_TWO and len(digits) == 3 and digits[0] != "0":
            return f"{cardinal(digits[0])} {'oh ' + cardinal(digits[2]) if digits[1] == '0' else cardinal(digits[1:])}"
        raise Unsure("a number by its digits, or as a count")
    if digits.isdecimal() and len(digits) == 4:
        return _of_four_digits(found, digits)
    return cardinal(digits)


def _of_four_digits(found: re.Match[str], digits: str) -> str:
    """A year if the words around it say so, else a count."""
    before, after = word_before(found).lower(), word_after(found)
    if is_year(digits):
        is_dated = (
            before in _YEAR_CUES or before.endswith(("'s", "s'")) or _PERIOD.search(words_before(found)) is not None
        )
        if not is_counted(after) or is_dated or digits[2:] == "00":
            return year(digits)
        if word_before(found)[:1].isupper() or re.search(r"[(:]\s?\Z", words_before(found)):
            raise Unsure("a year or a count")
        return cardinal(digits)
    is_dated = before in _STRICT_YEAR_CUES or _YEARS_BEFORE.search(words_before(found)) is not None
    if digits < "1100" and digits[0] == "1" and is_dated and not is_counted(after):
        return year(digits)
    return cardinal(digits)


def _grouped(found: re.Match[str]) -> str:
    if re.match(rf"\s(?:{UNIT}|%)", text_after(found, 20)):
        raise Unsure("groups of digits before a unit")
    return cardinal(re.sub(r"\s", ",", found[1]))


def _ordinal(found: re.Match[str]) -> str:
    """ "19th", "6th-13th"."""
    first, ending, last, last_ending = found.groups()
    said = ordinal(first)
    if ending.lower() != _ending(first) or (last and last_ending.lower() != _ending(last)):
        raise Unsure("an ordinal with another ending")
    if last and value(first) >= value(last):
        raise Unsure("a range that goes back")
    return f"{said} to {ordinal(last)}" if last else said


def _ending(digits: str) -> str:
    is_teen = digits[-2:-1] == "1"
    return "th" if is_teen else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")


def _season(found: re.Match[str]) -> str | None:
    """ "2008/09", "2008/2009"."""
    first, last = found.groups()
    if int(first) + 1 != int(first[:2] + last if len(last) == 2 else last):
        return None
    if len(last) == 4 or last == "00":
        return f"{year(first)} to {year(str(int(first) + 1))}"
    return f"{year(first)} to {'oh ' if last[0] == '0' else ''}{cardinal(last.lstrip('0'))}"


def _saying(found: re.Match[str]) -> str | None:
    if found[0] == "9/11" and re.match(r"\sof\s", text_after(found, 5)):
        return None
    return _SAYINGS[found[0]]


def _era(found: re.Match[str]) -> str:
    """ "44 BC", "476 AD"."""
    digits = found[1]
    return f"{year(digits) if is_year(digits) else cardinal(digits)} {found[2].lower()}"


_SCALED = r"(?:[\s-](?:hundred|thousand|million|billion|trillion|crore|lakh))"
_NTH = r"(\d{1,3}(?:,\d{3}){1,4}|\d{1,12})(st|nd|rd|th)"
RULES: list[Rule] = [
    rule(rf"(?:24/7|9/11|50/50|20/20|50-50){END_OR_HYPHEN}", _saying),
    rule(rf"((?:1[89]|20)\d\d)/(\d\d(?:\d\d)?){END_OR_HYPHEN}", _season),
    rule(rf"{NUMBER}(\s?%|\spercent)?(?:{TO}{NUMBER})?(?:\s?%){END_OR_HYPHEN}", _percent),
    rule(rf"(?:(\d{{1,4}})\s)?(\d{{1,3}})/(\d{{1,3}})(?:([\s-]?){UNIT})?{END_OR_HYPHEN}", _fraction),
    rule(rf"(\d{{1,4}})?\s?([½¼¾⅓⅔⅛⅜⅝⅞])(?:([\s-]?){UNIT})?{END_OR_HYPHEN}", _fraction_sign),
    rule(rf"{_NTH}(?:{TO}{_NTH})?(?:{END_OR_HYPHEN}|(?=-\s(?:and|or|to)\s))", _ordinal, any_case=True),
    rule(r"(\d{1,4})\s(BCE?|AD|CE|B\.C\.(?:E\.)?|A\.D\.|C\.E\.)(?!\w)(?!–(?!AD\s\d|\d+\s(?:BC|AD|CE)))", _era),
    rule(rf"(\d{{1,4}}):(\d{{1,4}}){END_OR_HYPHEN}", _ratio),
    rule(rf"{NUMBER}{TO}{NUMBER}(?={_SCALED})", lambda found: span_words(found[1], found[2])),
    rule(rf"{NUMBER}[-–]{NUMBER}{END_OR_HYPHEN}", _range),
    rule(rf"(\d{{1,3}}(?:\s000)+){END}", _grouped),
    rule(rf"{NUMBER}{END_OR_HYPHEN}", _bare),
]
