"""English dates and times of day in words."""

from __future__ import annotations

import re

from megatron_speech.text_normalization.english.names import SHORT_BOOKS
from megatron_speech.text_normalization.english.numbers import (
    END,
    END_OR_HYPHEN,
    TO,
    Rule,
    Unsure,
    cardinal,
    is_counted,
    is_year,
    ordinal,
    plural,
    rule,
    text_after,
    value,
    word_after,
    word_before,
    words_before,
    words_of,
    year,
)

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
_MONTH_NAMES = sorted(
    {form for name in MONTHS for form in (name, name[:3], name.upper(), name[:3].upper())} | {"Sept", "SEPT"},
    reverse=True,
)
_MONTH = f"({'|'.join(_MONTH_NAMES)})"
_LENGTHS = {"Feb": 29, "Apr": 30, "Jun": 30, "Sep": 30, "Nov": 30}
_DAYS = {"Mon": "monday", "Tue": "tuesday", "Tues": "tuesday", "Wed": "wednesday", "Thu": "thursday",
         "Thur": "thursday", "Thurs": "thursday", "Fri": "friday", "Sat": "saturday", "Sun": "sunday"}  # fmt: skip
_WEEKDAYS = {**_DAYS, **{day.title(): day for day in _DAYS.values()}}
_WEEKDAY = f"({'|'.join(sorted(_WEEKDAYS, reverse=True))})"
MONTH_NAMES = frozenset(_MONTH_NAMES)
_SMALL_MONTHS = frozenset(form.lower() for name in _MONTH_NAMES for form in (name, name[:3])) - {"may", "march", "mar"}
_DAY = r"(0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"([12]\d{3})"
_HALF = r"(\s?(?:[ap]m|[AP]M|[apAP]\.\s?[mM]\.?)(?!\w))"
_CLOCK = r"([01]?\d|2[0-4]):([0-5]\d)"
_DOTTED_CLOCK = r"(\d\d?)\.([0-5]\d)"
_BOOKS = frozenset(SHORT_BOOKS) | words_of("Pss Tit Quran Qur'an Solomon Sirach Wisdom")
_NEVER_AFTER_TIMES = ("ratio", "odds", "scale", "score", "chance", "beat", "won", "lost", "surah", "sura", "psalm")
_AFTER_LISTS = (
    "",
    "at",
    "in",
    "of",
    "he",
    "she",
    "they",
    "we",
    "it",
    "the",
    "is",
    "are",
    "was",
    "were",
    "with",
    "by",
    "for",
)
"""Words after "June 3 and 5" that show that 5 is no count."""
_AFTER_VERBS = ("be", "have", "not", "he", "she", "they", "the", "we")
_DURATIONS = ("took", "take", "takes", "lasted", "lasts", "ran", "runs", "time of", "duration", "finished in",
              "after", "within", "won in", "record of", "length")  # fmt: skip
_DECADE_CUES = words_of("the his her their my our your early mid late early- mid- late- '")


def _month(name: str) -> str:
    return next(month for month in MONTHS if month.startswith(name[:3].title())).lower()


def _of_year(digits: str | None) -> str:
    return f", {year(digits) if is_year(digits) else cardinal(digits)}" if digits else ""


def _day_of_month(day: str, month: str) -> str:
    """The ordinal of a day; raises Unsure for a day that `month` does not have."""
    if int(day) > _LENGTHS.get(month[:3].title(), 31):
        raise Unsure("no date")
    return ordinal(str(int(day)))


def _the(found: re.Match[str]) -> str:
    return "" if word_before(found).lower() == "the" else "the "


def _month_first(found: re.Match[str]) -> str | None:
    """ "July 4, 1776", "July 4-6", "July 4-August 6"."""
    month, day, other_month, last, of_year = found.groups()
    if last is None and of_year is None:
        following, before = word_after(found), word_before(found).lower()
        is_verb = not before or month.title() in ("May", "March")
        if before in ("in", "during", "since") or (is_counted(following) and is_verb):
            if before == "in" and is_counted(following):
                return f"{_month(month)} {cardinal(day)}"
            raise Unsure("a day, or a count after a month")
    if last is None:
        return f"{_month(month)} {_day_of_month(day, month)}{_of_year(of_year)}"
    if other_month is None and int(last) <= int(day):
        raise Unsure("a range that goes back")
    until = f"{_month(other_month)} " if other_month else ""
    until += _day_of_month(last, other_month or month)
    return f"{_month(month)} {_day_of_month(day, month)} to {until}{_of_year(of_year)}"


def _day_first(found: re.Match[str]) -> str | None:
    """ "3 March 2021", "5-7 May 2010", "3rd of March"."""
    first, last, month, of_year = found.groups()
    is_bare = of_year is None and last is None
    if is_bare and month.title() in ("May", "March", "Mar") and word_after(found) in _AFTER_VERBS:
        raise Unsure("a month or a verb")
    spoken_year = _of_year(of_year) if "," in found[0] else _of_year(of_year).replace(",", "")
    if last and int(last) <= int(first):
        raise Unsure("a range that goes back")
    until = f" to the {_day_of_month(last, month)}" if last else ""
    return f"{_the(found)}{_day_of_month(first, month)}{until} of {_month(month)}{spoken_year}"


def _listed_month_first(found: re.Match[str]) -> str:
    """ "June 3 and 5", "May 3, 10 and 17, 2020"; but "On June 3 and 5 people voted" may be a count."""
    month, days, of_year = found.groups()
    after = word_after(found)
    if word_before(found).lower() in ("in", "during", "since") or (of_year is None and after not in _AFTER_LISTS):
        raise Unsure("days of a month, or a count")
    return f"{_month(month)} {_listed(days, month)}{_of_year(of_year)}"


def _listed_day_first(found: re.Match[str]) -> str:
    """ "12 and 15 May 2003", "from 5 to 7 May", "2, 3 or 4 May"."""
    days, month, of_year = found.groups()
    if of_year is None and month.title() in ("May", "March", "Mar") and word_after(found) in _AFTER_VERBS:
        raise Unsure("a month or a verb")
    spoken_year = _of_year(of_year).replace(",", "")
    return f"{_the(found)}{_listed(days, month, before='the ')} of {_month(month)}{spoken_year}"


def _listed(days: str, month: str, *, before: str = "") -> str:
    """Ordinals of days such as "3, 10 and 17", which must ascend; all but the first follow `before`."""
    numbers = [int(day) for day in re.findall(r"\d+", days)]
    if sorted(set(numbers)) != numbers:
        raise Unsure("days that go back")
    said = [_day_of_month(str(day), month) for day in numbers]
    marks = [f"{mark.strip()} " for mark in re.findall(r"\s?(,?\s(?:and|or|to)|,)\s", days)]
    return said[0] + "".join(
        f"{'' if mark.startswith(',') else ' '}{mark}{before}{day}" for mark, day in zip(marks, said[1:], strict=True)
    )


def _over_months(found: re.Match[str]) -> str:
    """ "5 May-7 June 2010"."""
    first, month, last, other_month, of_year = found.groups()
    until = f"the {_day_of_month(last, other_month)} of {_month(other_month)}{_of_year(of_year).replace(',', '')}"
    return f"{_the(found)}{_day_of_month(first, month)} of {_month(month)} to {until}"


def _month_and_year(found: re.Match[str]) -> str | None:
    return f"{_month(found[1])} {year(found[2])}" if is_year(found[2]) else None


def _months(found: re.Match[str]) -> str:
    """ "Jan-Feb 1991"."""
    first, last, of_year = found.groups()
    return f"{_month(first)} to {_month(last)}{_of_year(of_year).replace(',', '')}"


def _iso(found: re.Match[str]) -> str | None:
    month = MONTHS[int(found[3]) - 1]
    return f"{month.lower()} {_day_of_month(found[4], month)}{_of_year(found[1])}"


def _by_numbers(found: re.Match[str]) -> str | None:
    """ "25/12/2010": certain only if one of the two numbers cannot be a month, or both are equal."""
    first, second, of_year = int(found[1]), int(found[2]), found[3]
    if not is_year(of_year) or not (1 <= first <= 31 and 1 <= second <= 31) or (first > 12 and second > 12):
        raise Unsure("no date")
    if first <= 12 and second <= 12 and first != second:
        raise Unsure("a day and a month, or a month and a day")
    month, day = (second, first) if first > 12 else (first, second)
    name = MONTHS[month - 1]
    return f"{name.lower()} {_day_of_month(str(day), name)}, {year(of_year)}"


def _decade(found: re.Match[str]) -> str | None:
    """ "1990s", "the 90s", "'90s"."""
    digits, last = found[2], found[3]
    if last and value(last) <= value(digits[-2:]):
        raise Unsure("a range that goes back")
    if digits == "1000":
        raise Unsure("a century, or thousands")
    if len(digits) == 4:
        return plural(year(digits)) + (f" to {plural(cardinal(last))}" if last else "")
    is_sure = (
        found[1]
        or word_before(found).lower() in _DECADE_CUES
        or re.search(r"-\Z|\d0s (?:and|or|to|through) '?\Z", words_before(found))
    )
    if not is_sure:
        raise Unsure("a decade or a number of seconds")
    return plural(cardinal(digits))


def _short_year(found: re.Match[str]) -> str:
    return f"oh {cardinal(found[1][1])}" if found[1][0] == "0" else cardinal(found[1])


def _abbreviated_month(found: re.Match[str]) -> str | None:
    return None if found[1].title() in ("May", "Mar", "Jan", "Dec") and not found[0].endswith(".") else _month(found[1])


def _closing(found: re.Match[str]) -> str | None:
    """A short month or day that ends a sentence: "He left in Oct."."""
    before, name = word_before(found).lower(), found[1]
    if before in _DATED and name.title() != "May":
        return f"{_DAYS.get(name) or _month(name)}."
    if name in ("Sun", "Sat") and before != "the":
        raise Unsure("a day, or a word")
    return None


_DATED = words_of("in on of since until till by from to last next this each every early late mid and or through")


def is_small_date(found: re.Match[str]) -> bool:
    """Whether a number is next to a lower-case month: "july 25", "25 may 2012"."""
    after = word_after(found)
    if word_before(found).rstrip(".") in _SMALL_MONTHS or after in _SMALL_MONTHS:
        return True
    return after in ("may", "march", "mar") and re.match(r"\s\w+\s[12]\d{3}\b", text_after(found)) is not None


def _clock(hours: str, minutes: str, half: str | None) -> str:
    hour = int(hours)
    if hour == 0 or (hour == 24 and minutes != "00") or (half and hour > 12):
        raise Unsure("an hour that has several names")
    said = cardinal(str(hour))
    if minutes != "00":
        return f"{said} {'oh ' + cardinal(minutes[1]) if minutes[0] == '0' else cardinal(minutes)}"
    return said if half else f"{said} o'clock" if hour <= 12 else f"{said} hundred"


def _half(half: str | None) -> str:
    return " " + half.lower().replace(" ", "") if half else ""


def _time(found: re.Match[str]) -> str | None:
    """ "5:30", "5:30-6:00 p.m."."""
    if word_before(found).rstrip(".") in _BOOKS:
        raise Unsure("a verse")
    if any(cue in words_before(found) for cue in _NEVER_AFTER_TIMES):
        return None
    first_half, last_half = found[3], found[6]
    any_half = first_half or last_half
    said = _clock(found[1], found[2], any_half) + _half(first_half)
    if found[4] is None:
        return said
    return f"{said} to {_clock(found[4], found[5], any_half)}{_half(last_half)}"


def _hours(found: re.Match[str]) -> str | None:
    """ "5 p.m.", "9am-5pm", "5-6 p.m."."""
    first, first_half, last, last_half = found.groups()
    if int(first) not in range(1, 13) or (last and int(last) not in range(1, 13)):
        return None
    until = f" to {cardinal(last)}" if last else ""
    return f"{cardinal(first)}{_half(first_half)}{until}{_half(last_half)}"


def _duration(found: re.Match[str]) -> str | None:
    """ "2:30:15"; certain only after a word for a duration."""
    if not any(cue in words_before(found) for cue in (*_DURATIONS, " in ")) or found[1] == "00":
        raise Unsure("a duration or a time of day")
    amounts = [(int(found[1]), "hour"), (int(found[2]), "minute"), (int(found[3]), "second")]
    parts = [f"{cardinal(str(n))} {name}{'' if n == 1 else 's'}" for n, name in amounts if n]
    return " ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


_AND = r"(?:,?\s(?:and|or)\s)"
_LISTED = rf"{_DAY}(?:,\s{_DAY}){{0,8}}{_AND}{_DAY}".replace("(0?", "(?:0?")
_LISTED_TO = rf"{_DAY}\sto\s{_DAY}".replace("(0?", "(?:0?")
_LAST_DAY = rf"(?:{TO}(?:{_MONTH}\.?\s)?{_DAY})?"
RULES: list[Rule] = [
    rule(rf"([12]\d{{3}})([-/])(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01]){END}", _iso),
    rule(rf"(\d{{1,2}})[/.](\d{{1,2}})[/.](\d{{4}}){END}", _by_numbers),
    rule(rf"{_MONTH}\.?\s({_LISTED})(?:,?\s{_YEAR})?{END}(?!\s?%|\s?°)", _listed_month_first),
    rule(rf"({_LISTED}|{_LISTED_TO})\s(?:of\s)?{_MONTH}(?:\.?,?\s{_YEAR})?{END}", _listed_day_first),
    rule(rf"{_MONTH}\.?\s{_DAY}{_LAST_DAY}(?:,?\s{_YEAR})?{END}(?!\s?%|\s?°)", _month_first),
    rule(rf"{_DAY}\s{_MONTH}{TO}{_DAY}\s{_MONTH}(?:\s{_YEAR})?{END}", _over_months),
    rule(rf"{_DAY}(?:{TO}{_DAY})?\s(?:of\s)?{_MONTH}(?:\.?,?\s{_YEAR}{END}|\.(?=\s[a-z])|{END})", _day_first),
    rule(rf"{_MONTH}\.?[-–]{_MONTH}(?:\.?,?\s{_YEAR})?{END}(?!\s\d)", _months),
    rule(rf"{_MONTH}\.?,?\s{_YEAR}{END_OR_HYPHEN}", _month_and_year),
    rule(rf"(')?([2-9]0|1\d\d0|20\d0)'?s(?:{TO}'?([2-9]0)s)?{END_OR_HYPHEN}", _decade),
    rule(rf"'(\d\d){END}", _short_year),
    rule(rf"{_MONTH}\.(?=,|\s[a-z\d])", _abbreviated_month),
    rule(rf"({'|'.join((*_DAYS, *_MONTH_NAMES))})\.(?=[\"”)]?(?:\s*\Z|\s[A-Z]))", _closing),
    rule(
        rf"{_WEEKDAY}\.?{TO}{_WEEKDAY}(?:\.(?=,|\s[a-z\d]))?(?!\w)",
        lambda found: f"{_WEEKDAYS[found[1]]} to {_WEEKDAYS[found[2]]}",
    ),
    rule(rf"({'|'.join(_DAYS)})\.(?=,|\s[a-z\d])", lambda found: _DAYS[found[1]]),
    rule(rf"(\d{{1,2}}):([0-5]\d):([0-5]\d){END}", _duration),
    rule(rf"{_CLOCK}{_HALF}?(?:{TO}{_CLOCK}{_HALF}?)?{END_OR_HYPHEN}", _time),
    rule(rf"{_DOTTED_CLOCK}{_HALF}{END_OR_HYPHEN}", lambda found: _clock(*found.groups()) + _half(found[3])),
    rule(rf"(\d\d?){_HALF}?(?:{TO}(\d\d?))?{_HALF}{END_OR_HYPHEN}", _hours),
]
WORDS = frozenset((*_MONTH_NAMES, *_DAYS))
"""First words of the rules."""
STOPPED = frozenset(word.lower() for word in WORDS if len(word) < 6)
"""Lower-case words after which a full stop may mark an abbreviation."""
