"""Dates and years in Chinese text, in words: tells calendar years from numbers of years.

2024年5月 --> 二零二四年五月    住了20年 --> 住了二十年    公元50年 --> 公元五十年
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable

from megatron_speech.text_normalization.chinese.amounts import Around
from megatron_speech.text_normalization.chinese.numbers import TWO_OF, cardinal, digit_by_digit

Form = tuple[re.Pattern[str], Callable[[re.Match[str], Around], str | None]]
"""An expression, and a function from its match and context to words; None if the reading is not sure."""

TO = r"\s?[-–—~～至到]\s?"
_ABOUT = re.compile(
    r"(?:[近约达满逾超距历了每隔整第用]|长达|大约|历经|未来|过去|今后|最近|[这那]|工作|服役|从业|执教|服刑|判刑|有期徒刑|在位|为期|连续|任职|距今|合同期|刑期|婚后"
    r"|民国|康熙|雍正|乾隆|嘉庆|道光|咸丰|同治|光绪|宣统|洪武|永乐|嘉靖|万历|崇祯|贞观|开元|天宝|建安|明治|大正|昭和|平成|令和)$"
)
"""Text before a number of years (a duration or the year of a reign)."""
_PERHAPS_ABOUT = re.compile(r"[共过有]$")
"""Text before a number of years if _ENDS_COUNT follows: 有20年了."""
_ENDS_COUNT = re.compile(r"\s?(?:[，。、；！？,;!?）)了以不没]|的?历史|的?经验|\Z)")
_SPAN_OF_YEARS = re.compile(
    r"\s?(?:来(?=[，。,、首第一最他她]|\Z)|前(?![后锋海])|的?历史|之久|间|多|以上|左右|悠久|里(?![皮约])|内(?![蒙马])|时间|之后|后(?!卫)|寿命|一遇|一[次度]|期|房龄|工龄|党龄|教龄)"
)
_COUNTED_YEARS = re.compile(r"\s?(?:的?历史|之久|悠久|寿命)")
_IN_YEAR = re.compile(
    r"\s?(?:出生|毕业|国庆|春节|五一|年?[初底末]|[春夏秋冬][天季]|[上下]半年|世界杯|奥运|亚运|欧洲杯)"
)
"""Events and seasons of a year: two digits before these are a year's last two digits."""


def _year(digits: str, around: Around, *, has_month: bool = False) -> str | None:
    """A year digit by digit, or a number of years as a count; None if it may be either."""
    value = int(digits)
    if re.search(r"[公西]元前?$", around.before):
        return digit_by_digit(digits) if len(digits) > 2 and value % 100 else cardinal(digits)
    if has_month or (digits[0] == "0" and len(digits) == 2):
        return digit_by_digit(digits)
    if len(digits) == 4:
        return _long_year(digits, around)
    ranked = around.behind.startswith("级") or around.before.endswith("第")
    if len(digits) == 2 and around.behind.startswith("代"):
        return cardinal(digits) if value % 10 == 0 else None
    is_grade = around.behind.startswith("级") and value <= 12
    if len(digits) == 1 or is_grade or _is_count_of_years(around) or value == 100:
        return cardinal(digits, two=not ranked) if value and (len(digits) < 3 or digits[0] != "0") else None
    return digit_by_digit(digits) if len(digits) == 2 and _IN_YEAR.match(around.behind) else None


def _is_count_of_years(around: Around) -> bool:
    if _ABOUT.search(around.before) or _SPAN_OF_YEARS.match(around.behind):
        return True
    return bool(_PERHAPS_ABOUT.search(around.before) and _ENDS_COUNT.match(around.behind))


def _long_year(digits: str, around: Around) -> str | None:
    """Words for four digits before 年: a year from 1000 to 2100, unless a round number is a count of years."""
    value = int(digits)
    about = _ABOUT.search(around.before) or _PERHAPS_ABOUT.search(around.before)
    if digits[0] == "0":
        return None
    if not 1000 <= value <= 2100:
        return cardinal(digits, two=True)
    if value % 100 or not (about or _SPAN_OF_YEARS.match(around.behind)):
        return digit_by_digit(digits)
    return cardinal(digits, two=True) if about or _COUNTED_YEARS.match(around.behind) else None


def _dynasty(found: re.Match[str], around: Around) -> str | None:
    """618年—907年 in brackets."""
    first, last = found.groups()
    if int(first) >= int(last) or around.before[-1:] not in ("(", "（", "［", "["):
        return None
    return f"{digit_by_digit(first)}年到{digit_by_digit(last)}年"


def _anniversary(found: re.Match[str], around: Around) -> str | None:
    """9·11: a day that events are named after."""
    return digit_by_digit(found[1] + found[2]) if _month_and_day(found[1], found[2]) else None


def _month_and_day(month: str | None, day: str | None, mark: str = "日", *, year: int = 2000) -> str | None:
    """Words of a month and a day of it; None where the calendar has no such day."""
    if month is None:
        return ""
    if not 1 <= int(month) <= 12 or (day is not None and not 1 <= int(day) <= monthrange(year, int(month))[1]):
        return None
    return f"{cardinal(str(int(month)))}月" + (f"{cardinal(str(int(day)))}{mark}" if day is not None else "")


def _date(found: re.Match[str], around: Around) -> str | None:
    year, _, month, day = found.groups()
    words = _month_and_day(month, day, year=int(year))
    return None if words is None or not 1000 <= int(year) <= 2100 else f"{digit_by_digit(year)}年{words}"


def _year_and_month(found: re.Match[str], around: Around) -> str | None:
    year, month, day, mark = found.groups()
    words = _month_and_day(month, day, mark, year=int(year) if len(year) == 4 and int(year) else 2000)
    said = _year(year, around, has_month=month is not None)
    return None if words is None or said is None else f"{said}年{words}"


def _years(found: re.Match[str], around: Around) -> str | None:
    first, last = found[1], found[2]
    if not 1000 <= int(first) < int(last) <= 2100 or (not found[3] and first[:2] not in ("18", "19", "20")):
        return None
    if not found[3] and around.behind[:1] in TWO_OF:
        return None
    return f"{digit_by_digit(first)}到{digit_by_digit(last)}{found[3] or ''}"


def _day(found: re.Match[str], around: Around) -> str | None:
    month, first, last, mark = found.groups()
    words = _month_and_day(month, first, mark)
    if words is None or last is None:
        return words
    if not int(first) < int(last) or _month_and_day(month, last) is None:
        return None
    return f"{words.removesuffix(mark)}到{cardinal(str(int(last)))}{mark}"


def _months(found: re.Match[str], around: Around) -> str | None:
    first, last = int(found[1]), int(found[2])
    return f"{cardinal(str(first))}到{cardinal(str(last))}月" if 1 <= first < last <= 12 else None


def _day_alone(found: re.Match[str], around: Around) -> str | None:
    return f"{cardinal(found[1])}日" if 1 <= int(found[1]) <= 31 else None


DATES: list[Form] = [
    (re.compile(rf"([1-9][0-9]{{2}})年{TO}([1-9][0-9]{{2,3}})年"), _dynasty),
    (re.compile(r"([0-9]{1,2})·([0-9]{1,2})(?![0-9·.])"), _anniversary),
    (re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(?![0-9./-])"), _date),
    (re.compile(rf"([0-9]{{4}}){TO}([0-9]{{4}})\s?(年)?(?![0-9.\-/年])"), _years),
    (re.compile(r"([0-9]{1,4})\s?年(?:\s?([0-9]{1,2})\s?月(?:\s?([0-9]{1,2})\s?([日号]))?)?"), _year_and_month),
    (re.compile(rf"([0-9]{{1,2}}){TO}([0-9]{{1,2}})\s?月(?!\s?[0-9])"), _months),
    (re.compile(rf"([0-9]{{1,2}})\s?月\s?([0-9]{{1,2}})(?:{TO}([0-9]{{1,2}}))?\s?([日号])"), _day),
    (re.compile(r"([0-9]{1,2})\s?月(?!\s?[0-9])"), lambda found, _: _month_and_day(found[1], None)),
    (re.compile(r"([0-9]{1,2})\s?日"), _day_alone),
]
"""In this order."""
