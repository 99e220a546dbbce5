"""Forms of Chinese text that say something as a whole: dates, times, amounts, ranges, codes.

A form is an expression and its reading. The reading sees what stands around, and gives None where it is not sure. The
first form that reads wins; a place that begins like a form and is read by none is unreadable.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable

from megatron_speech.text_normalization.chinese_amounts import AMOUNT, Around, amount
from megatron_speech.text_normalization.chinese_numbers import (
    LONGEST,
    TWO_OF,
    cardinal,
    digit_by_digit,
)
from megatron_speech.text_normalization.chinese_units import UNITS

Form = tuple[re.Pattern[str], Callable[[re.Match[str], Around], str | None]]

SEEN_BEFORE, SEEN_BEHIND = 20, 10
"""Characters that a form may look at around it."""

_TO = r"\s?[-–—~～至到]\s?"
_CODES = re.compile(
    r"(?:(电话|手机|热线|拨打|致电|来电|客服)"
    r"|编号|号码|身份证|密码|邮编|邮政编码|验证码|学号|账号|卡号|尾号|QQ|微信|代码)(?:号码|号)?[为是：: ，]{0,2}$"
)
_SCORE_BEFORE = re.compile(r"比分[^。]{0,8}$|战平$|大胜[^。]{0,8}$|击败[^。]{0,8}$|战胜[^。]{0,8}$")
_SCORE_BEHIND = re.compile(r"\s?(?:战胜|击败|大胜|险胜|取胜|获胜|胜|领先|落后|战平|逼平|淘汰|负于|不敌|告负|横扫)")
_RATIO_BEFORE = re.compile(r"(?:比例尺?|比值|比|赔率|比率|按|约|占比)[为是：:约]{0,2}$")
_ABOUT = re.compile(r"(?:[近约达共满逾过超距有历]|长达|历时|大约|历经)$")
_SPAN_OF_YEARS = re.compile(r"\s?(?:来(?!自)|前(?!后)|的?历史|之久|间|多|以上|左右|悠久|里|内|时间|之后|后|寿命)")
_COUNTED_YEARS = re.compile(r"\s?(?:的?历史|之久|悠久|寿命)")


def _year(digits: str, around: Around, *, has_month: bool = False) -> str | None:
    """A year digit by digit, or a number of years; None where it may be either."""
    value = int(digits)
    about, span = _ABOUT.search(around.before), _SPAN_OF_YEARS.match(around.behind)
    if has_month or re.search(r"公元前?$", around.before):
        return digit_by_digit(digits)
    if len(digits) == 4:
        if digits[0] == "0":
            return None
        if not 1000 <= value <= 2100:
            return cardinal(digits, two=True)
        if value % 100 or not (about or span):
            return digit_by_digit(digits)
        return cardinal(digits, two=True) if about or _COUNTED_YEARS.match(around.behind) else None
    if digits[0] == "0" and len(digits) == 2:
        return digit_by_digit(digits)
    if len(digits) == 3:
        return None if value % 10 or value < 100 else cardinal(digits, two=True)
    if around.behind.startswith("代"):
        return cardinal(digits) if value % 10 == 0 and value >= 10 else None
    if value >= 60 and not about:
        return None
    ranked = around.behind.startswith("级") or around.before.endswith("第")
    return cardinal(digits, two=not ranked) if value else None


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


def _is_score(around: Around) -> bool:
    return bool(_SCORE_BEFORE.search(around.before) or _SCORE_BEHIND.match(around.behind))


def _clock(hour: str, minute: str, second: str | None) -> str | None:
    if not (int(hour) <= 24 and int(minute) < 60 and int(second or 0) < 60):
        return None
    words = cardinal(str(int(hour)), two=True) + "点"
    if minute != "00" or second:
        words += ("零" if minute[0] == "0" and minute != "00" else "") + cardinal(str(int(minute))) + "分"
    return words + (f"{cardinal(str(int(second)))}秒" if second else "")


def _time(found: re.Match[str], around: Around) -> str | None:
    if _is_score(around) or _RATIO_BEFORE.search(around.before) or re.match(r"\s?[A-Za-z]", around.behind):
        return None
    hour, minute, second, *last = found.groups()
    words = _clock(hour, minute, second)
    if words is None or last[0] is None:
        return words
    until = _clock(*last)
    return None if until is None else f"{words}到{until}"


def _ratio(found: re.Match[str], around: Around) -> str | None:
    """Of a scale, a score or a picture; a colon behind a number may also be punctuation."""
    numbers = re.split("[:：]", found[0])
    if any(len(number) > 1 and number[0] == "0" for number in numbers) or around.behind[:1] in ("年", "月", "日"):
        return None
    if re.match(r"\s?[A-Za-z]", around.behind):
        return None
    if "：" in found[0] and not (_is_score(around) or _RATIO_BEFORE.search(around.before)):
        return None
    return "比".join(map(cardinal, numbers))


def _score(found: re.Match[str], around: Around) -> str | None:
    return f"{cardinal(found[1])}比{cardinal(found[2])}" if _is_score(around) else None


def _telephone(found: re.Match[str], around: Around) -> str | None:
    return digit_by_digit(re.sub(r"\D", "", found[0]), telephone=True)


def _code(found: re.Match[str], around: Around) -> str | None:
    """Digits behind a word that names what they are."""
    word = _CODES.search(around.before)
    return digit_by_digit(re.sub(r"\D", "", found[0]), telephone=bool(word[1])) if word else None


def _leading_zeros(found: re.Match[str], around: Around) -> str | None:
    return digit_by_digit(found[0])


def _fraction(found: re.Match[str], around: Around) -> str | None:
    top, bottom = int(found[1]), int(found[2])
    if not 0 < top < bottom or not (bottom <= 10 or bottom in (12, 16, 20, 50, 100, 1000)) or found[2][0] == "0":
        return None
    if bottom == 12 and top != 1:  # a day of December, too
        return None
    return f"{cardinal(found[2])}分之{cardinal(found[1])}"


def _arithmetic(found: re.Match[str], around: Around) -> str | None:
    """A product, a quotient, a sum of small or measured numbers."""
    words = {"×": "乘", "÷": "除以", "+": "加"}
    numbers = re.split(r"\s?[×÷+]\s?", found[1])
    signs = re.findall(r"[×÷+]", found[1])
    if any(len(number.partition(".")[0]) > (LONGEST if found[2] else 2) for number in numbers):
        return None
    if any(number[0] == "0" and number[1:2] not in ("", ".") for number in numbers):
        return None
    said = cardinal(numbers[0])
    for sign, number in zip(signs, numbers[1:], strict=True):
        said += words[sign] + cardinal(number)
    return said + (UNITS.get(found[2], found[2]) if found[2] else "")


def _angle(found: re.Match[str], around: Around) -> str | None:
    words = f"{cardinal(found[1])}度{cardinal(found[2])}分"
    return words + (f"{cardinal(found[3])}秒" if found[3] else "")


_CLOCK = r"([0-9]{1,2})[:：]([0-9]{2})(?:[:：]([0-9]{2}))?"
_N = r"[0-9]+(?:\.[0-9]+)?"

FORMS: list[Form] = [
    (re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(?![0-9./-])"), _date),
    (re.compile(rf"([0-9]{{4}}){_TO}([0-9]{{4}})\s?(年)?(?![0-9.\-/年])"), _years),
    (re.compile(r"([0-9]{1,4})\s?年(?:\s?([0-9]{1,2})\s?月(?:\s?([0-9]{1,2})\s?([日号]))?)?"), _year_and_month),
    (re.compile(rf"([0-9]{{1,2}}){_TO}([0-9]{{1,2}})\s?月(?!\s?[0-9])"), _months),
    (re.compile(rf"([0-9]{{1,2}})\s?月\s?([0-9]{{1,2}})(?:{_TO}([0-9]{{1,2}}))?\s?([日号])"), _day),
    (re.compile(r"([0-9]{1,2})\s?月(?!\s?[0-9])"), lambda found, _: _month_and_day(found[1], None)),
    (re.compile(r"([0-9]{1,2})\s?日"), _day_alone),
    (re.compile(rf"{_CLOCK}(?:{_TO}{_CLOCK})?(?![0-9:：])"), _time),
    (re.compile(r"[0-9]{1,7}(?:[:：][0-9]{1,7}){1,3}(?![0-9:：.])"), _ratio),
    (re.compile(r"([0-9]{1,3})[-–]([0-9]{1,3})(?![0-9.\-])"), _score),
    (
        re.compile(r"(?:0[0-9]{2,3}-[0-9]{7,8}|[48]00-?[0-9]{3}-?[0-9]{4}|1[3-9][0-9]-?[0-9]{4}-?[0-9]{4})(?![0-9-])"),
        _telephone,
    ),
    (re.compile(r"[0-9]{2,}(?:-[0-9]{2,}){0,4}(?![0-9.,\-])"), _code),
    (re.compile(r"0[0-9]{1,11}(?![0-9.,:：/\-])"), _leading_zeros),
    (re.compile(r"([0-9][05])(?=后(?![年天周月]))"), lambda found, _: digit_by_digit(found[1])),  # born in the nineties
    (re.compile(r"([0-9]{1,4})/([0-9]{1,4})(?![0-9/.])"), _fraction),
    (re.compile(r"([0-9]{1,3})°([0-9]{1,2})[′'](?:([0-9]{1,2})[″\"])?"), _angle),
    (re.compile(rf"({_N}(?:\s?[×÷+]\s?{_N})+)\s?(cm|mm|km|m|厘米|毫米|公里|米)?(?![0-9.A-Za-z×÷+=])"), _arithmetic),
    (AMOUNT, amount),
]
"""In this order."""
