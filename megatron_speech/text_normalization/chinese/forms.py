"""Forms of Chinese text that are read as a whole: dates, times, amounts, ranges, codes.

A form is an expression and a reading: a function of the match and its context that returns None if it is not sure.
The first form with a reading wins. Text that starts like a form but has no reading is unreadable.
"""

from __future__ import annotations

import re

from megatron_speech.text_normalization.chinese.amounts import AMOUNT, Around, amount
from megatron_speech.text_normalization.chinese.dates import DATES, TO, Form
from megatron_speech.text_normalization.chinese.numbers import COUNTERS, LONGEST, cardinal, digit_by_digit
from megatron_speech.text_normalization.chinese.units import UNITS

SEEN_BEFORE, SEEN_BEHIND = 20, 10
"""Number of characters before and after a form that its reading sees."""

_CODES = re.compile(
    r"(?:(电话|手机|热线|拨打|致电|来电|客服)"
    r"|编号|号码|身份证|密码|邮编|邮政编码|验证码|学号|账号|卡号|尾号|QQ|微信|代码)(?:号码|号)?[为是：: ，]{0,2}$"
)
_SCORE_BEFORE = re.compile(r"比分[^。]{0,8}$|战平$|大胜[^。]{0,8}$|击败[^。]{0,8}$|战胜[^。]{0,8}$")
_SCORE_BEHIND = re.compile(r"\s?(?:战胜|击败|大胜|险胜|取胜|获胜|胜|领先|落后|战平|逼平|淘汰|负于|不敌|告负|横扫)")
_BOOKS = re.compile(
    r"(?:(?:马太|马可|路加|约翰)福音|创世[记纪]|出埃及记|箴言|启示录|使徒行传|罗马书|希伯来书|以赛亚书|哥林多[前后]书)\s?$"
)
_PERHAPS_BOOK = re.compile(r"(?:[书记经录传篇歌言章节]|福音)\s?$")
_NO_FRACTION_BEHIND = re.compile(r"\s?(?:[月日号年页室级班期周届季赛栋楼层路线]|赛季)")
_WEAPONS = re.compile(r"式[一-鿿]{0,4}(?:枪|炮|坦克|战车|装甲车|军服|军装|火箭|导弹|弹|舰|机)")
_SUMS = re.compile(r"\s?[元人个件吨条户只张股次位名台天美欧港]")
_SERVICES = ("12306", "12315", "12123", "10086", "10010")
_NO_SERVICE = re.compile(r"\s?[元人个件条户名位次台只张股万亿年月日米千公]")
_RATIO_BEFORE = re.compile(r"(?:比例尺?|比值|比|赔率|比率|按|约|占比)[为是：:约]{0,2}$")


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
    if _BOOKS.search(around.before) and found[3] is None and found[4] is None:
        return f"{cardinal(found[1])}章{cardinal(str(int(found[2])))}节"
    if _is_score(around) or _RATIO_BEFORE.search(around.before) or re.match(r"\s?[A-Za-z]", around.behind):
        return None
    if _PERHAPS_BOOK.search(around.before):
        return None
    hour, minute, second, *last = found.groups()
    words = _clock(hour, minute, second)
    if words is None or last[0] is None:
        return words
    until = _clock(*last)
    return None if until is None else f"{words}到{until}"


def _ratio(found: re.Match[str], around: Around) -> str | None:
    """A ratio (of a map, a score, a picture) or a verse; None if the colon may be punctuation."""
    numbers = re.split("[:：]", found[0])
    if any(len(number) > 1 and number[0] == "0" for number in numbers) or around.behind[:1] in ("年", "月", "日"):
        return None
    if len(numbers) == 2 and _BOOKS.search(around.before):
        return f"{cardinal(numbers[0])}章{cardinal(numbers[1])}节"
    if re.match(r"\s?[A-Za-z]", around.behind) or _PERHAPS_BOOK.search(around.before):
        return None
    if "：" in found[0] and not (_is_score(around) or _RATIO_BEFORE.search(around.before)):
        return None
    return "比".join(map(cardinal, numbers))


def _score(found: re.Match[str], around: Around) -> str | None:
    return f"{cardinal(found[1])}比{cardinal(found[2])}" if _is_score(around) else None


def _telephone(found: re.Match[str], around: Around) -> str | None:
    if _SUMS.match(around.behind) and not _CODES.search(around.before):
        return None
    return digit_by_digit(re.sub(r"\D", "", found[0]), telephone=True)


def _code(found: re.Match[str], around: Around) -> str | None:
    """Digits after a word that names them, such as 电话."""
    word = _CODES.search(around.before)
    return digit_by_digit(re.sub(r"\D", "", found[0]), telephone=bool(word[1])) if word else None


def _leading_zeros(found: re.Match[str], around: Around) -> str | None:
    return digit_by_digit(found[0])


def _fraction(found: re.Match[str], around: Around) -> str | None:
    top, bottom = int(found[1]), int(found[2])
    if not 0 < top < bottom or not (bottom <= 10 or bottom in (12, 16, 20, 50, 100, 1000)) or found[2][0] == "0":
        return None
    if around.before.endswith("第") or _NO_FRACTION_BEHIND.match(around.behind):
        return None
    if (bottom == 12 and top != 1) or (bottom >= 10 and top == bottom - 1):  # perhaps a day of December; 19/20赛季
        return None
    return f"{cardinal(found[2])}分之{cardinal(found[1])}"


def _arithmetic(found: re.Match[str], around: Around) -> str | None:
    """A product, quotient or sum of numbers that have a unit or at most two digits."""
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


def _equation(found: re.Match[str], around: Around) -> str | None:
    """2+2=4."""
    names = {"+": "加", "-": "减", "−": "减", "–": "减", "×": "乘", "÷": "除以", "=": "等于"}
    parts = re.findall(rf"{_N}|[-+−–×÷=]", found[0])
    if any((part[0] == "0" and part[1:2] not in ("", ".")) or len(part) > LONGEST for part in parts):
        return None
    return "".join(names.get(part) or cardinal(part) for part in parts)


def _model(found: re.Match[str], around: Around) -> str | None:
    """The number of a type, a room or a road, digit by digit: 56式步枪, 502室, 波音747."""
    behind = around.behind
    is_named = (
        (found[0] in _SERVICES and not (_NO_SERVICE.match(behind) or re.search("[为达共约有计]$", around.before)))
        or _WEAPONS.match(behind)
        or (len(found[0]) > 2 and re.match(r"室(?![内外])|教室|国道|省道", behind))
        or (len(found[0]) == 3 and re.match(r"(?:事件|高校|工程)", behind))
        or (len(found[0]) == 3 and re.search(r"(?:波音|空客)\s?$", around.before) and not re.match("-|[架台]", behind))
        or (len(found[0]) == 5 and re.match(r"(?:网站|热线|平台|官网|客服|APP|App)", behind))
    )
    return digit_by_digit(found[0]) if is_named else None


def _and_more(found: re.Match[str], around: Around) -> str | None:
    """1000+人."""
    is_count = around.behind[:1] in COUNTERS and len(found[1]) <= LONGEST
    return f"{cardinal(found[1], two=True)}多" if is_count else None


def _angle(found: re.Match[str], around: Around) -> str | None:
    words = f"{cardinal(found[1])}度{cardinal(found[2])}分"
    return words + (f"{cardinal(found[3])}秒" if found[3] else "")


_CLOCK = r"([0-9]{1,2})[:：]([0-9]{2})(?:[:：]([0-9]{2}))?"
_N = r"[0-9]+(?:\.[0-9]+)?"

EQUATION: Form = (re.compile(rf"{_N}(?:\s?[-+−–×÷]\s?{_N}){{1,4}}\s?=\s?{_N}(?![0-9.=+×÷])"), _equation)
FORMS: list[Form] = [
    EQUATION,
    *DATES,
    (re.compile(rf"{_CLOCK}(?:{TO}{_CLOCK})?(?![0-9:：])"), _time),
    (re.compile(r"[0-9]{1,7}(?:[:：][0-9]{1,7}){1,3}(?![0-9:：.])"), _ratio),
    (re.compile(r"([0-9]{1,3})[-–]([0-9]{1,3})(?![0-9.\-])"), _score),
    (
        re.compile(r"(?:0[0-9]{2,3}-[0-9]{7,8}|[48]00-?[0-9]{3}-?[0-9]{4}|1[3-9][0-9]-?[0-9]{4}-?[0-9]{4})(?![0-9-])"),
        _telephone,
    ),
    (re.compile(r"(?<=[0-9-]{7}转)[0-9]{1,6}(?![0-9.])"), lambda found, _: digit_by_digit(found[0], telephone=True)),
    (re.compile(r"(?<=['‘’])[0-9]{2}(?![0-9.'‘’])"), lambda found, _: digit_by_digit(found[0])),  # a year
    (re.compile(r"[0-9]{2,}(?:-[0-9]{2,}){0,4}(?![0-9.,\-])"), _code),
    (re.compile(r"0[0-9]{1,11}(?![0-9.,:：/\-])"), _leading_zeros),
    (re.compile(r"[1-9][0-9]{1,4}(?![0-9])"), _model),
    (re.compile(r"([1-9][0-9]*0)\+"), _and_more),
    (re.compile(r"([0-9][05])(?=后(?![年天周月]))"), lambda found, _: digit_by_digit(found[1])),  # born in the nineties
    (re.compile(r"([0-9]{1,4})/([0-9]{1,4})(?![0-9/.])"), _fraction),
    (re.compile(r"([0-9]{1,3})°([0-9]{1,2})[′'](?:([0-9]{1,2})[″\"])?"), _angle),
    (re.compile(rf"({_N}(?:\s?[×÷+]\s?{_N})+)\s?(cm|mm|km|m|厘米|毫米|公里|米)?(?![0-9.A-Za-z×÷+=])"), _arithmetic),
    (AMOUNT, amount),
]
"""In this order."""
