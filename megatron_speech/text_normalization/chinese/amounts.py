"""Amounts in Chinese text, in words: counts, money, percentages, measures and ranges of these.

$3.5M --> 三百五十万美元    10-20% --> 百分之十到百分之二十    2个 --> 两 + 个    70kg --> 七十公斤
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from megatron_speech.text_normalization.chinese.numbers import (
    COUNTERS,
    COUNTING_WORDS,
    LONGEST,
    NOT_OF_YEARS,
    RANKED,
    SCALES,
    TWO_OF,
    YEARLY,
    cardinal,
    digit_by_digit,
)
from megatron_speech.text_normalization.chinese.units import (
    CURRENCIES,
    EACH,
    PER,
    POWERS_OF_MONEY,
    POWERS_OF_SCALES,
    PRICED,
    SHARES,
    UNITS,
)


class Around(NamedTuple):
    """A few characters of text before and after a form."""

    before: str
    behind: str


_N = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_END = (
    r"(?![0-9$¥€£]|\.[0-9]|,[0-9]{2,3}(?![0-9])|,[0-9](?![0-9,，。\s]|\Z)|，[0-9]{3}(?![0-9])|\s[0-9]{3}(?![0-9])|\s?[*×÷=^_\\|]|[/:：][0-9]|[½⅓⅔¼¾⅛⅜⅝⅞²³]"
    r"|\s?[-–—~～]\s?[0-9.])"
)
"""End of a number: nothing follows that makes it part of another form (12:30, 1/2, 3-5)."""
_CURRENCY = "|".join(sorted(map(re.escape, CURRENCIES), key=len, reverse=True))
_UNIT = "|".join(sorted(map(re.escape, UNITS | POWERS_OF_MONEY), key=len, reverse=True))
AMOUNT = re.compile(
    rf"(?P<currency>{_CURRENCY})?\s?(?P<sign>[-−±])?(?P<first>{_N})(?:(?P<first_scale>[千万亿])?\s?[-–—~～]\s?(?P<last>-?{_N}))?{_END}"
    rf"(?:\s?(?P<share>[%‰])(?![0-9])"
    rf"|(?P<about>[多余几])?(?P<scale>{'|'.join(SCALES)})?(?P<more>[多余几])?"
    rf"(?:\s?(?P<unit>{_UNIT})(?:/(?P<per>{'|'.join(map(re.escape, PER))}))?(?![A-Za-z0-9/²³^°′″]))?"
    rf"(?:(?P<priced>{'|'.join(PRICED.split())})/(?P<each>{'|'.join(EACH.split())}))?)"
)
_DAY = re.compile(r"(?:[1-9]|1[0-2])\.(?:[1-9]|[12][0-9]|3[01])")
_NAME_BEFORE = re.compile(r"[A-Za-z]\s?$")
"""A name before a number: Python 3.12 is not a decimal."""
_BEHIND_DECIMALS = frozenset("的和与或到至以左之是为即及上下约")
"""Characters after 10.1 that show that it is not a day of October."""
_QUANTITY_BEFORE = re.compile(r"(?:为|达|达到|共|共计|总计|约|近|超过|突破|逾|高达|多达|等于)$")
_RANK_BEFORE = re.compile(r"(?:第[0-9、到至和~-]*|周|星期|礼拜|(?<![早晚误正])点|[千万亿百])$")
_MINUS_BEFORE = re.compile(r"(?:^|[为至到是在达温约于低跌了从降（，。：:、(\s])$")
_PRICE = re.compile(r"\s?(?:元|美元|欧元|英镑|港元|日元)")
_COUNTED = re.compile(rf"\s?(?:{'|'.join(COUNTING_WORDS.split())})")


_DEGREES = re.compile(r"(?:\s?[到至~～—–-]\s?-?[0-9.]+)?\s?(?:度|摄氏度|℃)")
_ENDS_OF_RANGE = re.compile(
    r"[0-9零一二三四五六七八九十百千万亿半两多几][个小公]?[年月日号时点分秒%‰℃度元米里斤天周岁人次章节页条届名]$"
)
"""Text before a dash that is read as 到."""
_FIGURES = re.compile(r"(?:图|表|例|题|附录|公式)\s?$")
_SECONDS_BEFORE = re.compile(
    r"(?:^|(?<!华)为|[了约仅需续等每达至超共前后过按时间在到延耗，。（(、第一二三四五六七八九十分])$"
)
_NAMED = re.compile(r"[A-Za-z](?:[0-9]*\s)?$")
_YEAR_AND_MONTH = re.compile(r"(?:19|20)[0-9]{2}\.(?:0[1-9]|1[0-2]|[1-9])")
_PART_OF = re.compile(r"[0-9一二三四五六七八九十两][米块点元斤秒分时度]$")


def ends_range(before: str) -> bool:
    """Whether the text before a dash is the start of a range: 5度, 3月5日."""
    return _ENDS_OF_RANGE.search(before) is not None


def amount(found: re.Match[str], around: Around) -> str | None:
    """Words of a match of AMOUNT; None if it may be something else."""
    part = found.groupdict()
    if part["unit"] and part["unit"] not in (POWERS_OF_MONEY if part["currency"] else UNITS):
        return None
    # Refuse parts that do not fit together or belong to another form.
    numbers = [number.replace(",", "") for number in (part["first"], part["last"]) if number]
    if part["first_scale"] and part["scale"] not in ("千", "万", "亿", "万亿"):
        return None
    if "," in (part["first"] or "") and around.before.endswith(","):
        return None
    if (part["currency"] and re.search("[0-9]$", around.before)) or not _is_of_unit(part, around):
        return None
    if len(numbers) == 2 and _FIGURES.search(around.before):
        return None
    if not all(_is_number(number.lstrip("-")) for number in numbers) or not _is_range(numbers, part):
        return None
    sign = _sign(part, around)
    if sign is None:
        return None
    # Read the kind of amount that matched.
    if part["share"]:
        return "到".join(_with_sign(sign * (not i), SHARES[part["share"]], n) for i, n in enumerate(numbers))
    if part["currency"]:
        said = _money(numbers, part, around)
    elif part["unit"] or part["priced"]:
        said = _measured(numbers, part)
    else:
        said = _counted(numbers, part, around)
    return None if said is None else sign + said


def _is_of_unit(part: dict[str, str | None], around: Around) -> bool:
    """Whether the letter after a number is its unit: the s of iPhone 6s and 骁龙8s is not."""
    unit, number = part["unit"], part["first"] or ""
    if unit is None or len(unit) > 1 or not unit.isascii() or part["currency"]:
        return True
    if _NAMED.search(around.before):
        return False
    return unit != "s" or "." in number or _SECONDS_BEFORE.search(around.before) is not None


def _is_number(number: str) -> bool:
    whole = number.partition(".")[0]
    return len(whole) <= LONGEST and (whole == "0" or whole[0] != "0")


def _is_range(numbers: list[str], part: dict[str, str | None]) -> bool:
    """Whether `numbers` is one number, or two in increasing order."""
    if len(numbers) == 1:
        return True
    first = Decimal(numbers[0]) * (-1 if part["sign"] in ("-", "−") else 1)
    if part["first_scale"]:
        powers = POWERS_OF_SCALES[part["first_scale"]], POWERS_OF_SCALES[part["scale"] or ""]
        return part["sign"] is None and first * 10 ** powers[0] < Decimal(numbers[1]) * 10 ** powers[1]
    return part["sign"] != "±" and first < Decimal(numbers[1])


def _sign(part: dict[str, str | None], around: Around) -> str | None:
    """负, 正负 or ""; None for a hyphen that may join words rather than mean minus."""
    if part["sign"] is None:
        return ""
    if part["sign"] == "±":
        return "正负"
    before = around.before
    if before.endswith("零下"):
        return None
    if part["sign"] == "−" or part["currency"] or _MINUS_BEFORE.search(before):
        return "负"
    measured = part["share"] or part["unit"] in ("℃", "°C", "℉", "°F")
    is_measured = bool(measured or _DEGREES.match(around.behind))
    return "负" if is_measured and "\u4e00" <= before[-1:] <= "\u9fff" and not ends_range(before) else None


def _with_sign(sign: str, head: str, number: str) -> str:
    return sign + ("负" if number[0] == "-" else "") + head + cardinal(number.lstrip("-"))


def _money(numbers: list[str], part: dict[str, str | None], around: Around) -> str | None:
    currency = CURRENCIES[part["currency"] or ""]
    tail = (part["about"] or "") + (part["scale"] or "") + (part["more"] or "")
    if part["priced"] or re.match(r"\s?(?:美|欧|英镑|港|日元|元|块|韩|人民币|[A-Za-z])", around.behind):
        return None
    if part["unit"]:
        if tail or part["per"]:
            return None
        power = Decimal(10) ** POWERS_OF_MONEY[part["unit"]]
        values = [Decimal(number) * power for number in numbers]
        if any(value != value.to_integral_value() or value >= 10**LONGEST for value in values):
            return None
        numbers = [str(int(value)) for value in values]
    return _to([cardinal(_plain(number), two=True) for number in numbers], part) + tail + currency


def _to(words: list[str], part: dict[str, str | None]) -> str:
    return f"{part['first_scale'] or ''}到".join(words)


def _plain(number: str) -> str:
    """12.50 as 12.5, and 5.00 as 5."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def _measured(numbers: list[str], part: dict[str, str | None]) -> str | None:
    unit = part["unit"]
    two = part["sign"] is None and not (unit and UNITS[unit].isascii())
    said = _to([("负" if n[0] == "-" else "") + cardinal(n.lstrip("-"), two=two) for n in numbers], part)
    said += (part["about"] or "") + (part["scale"] or "") + (part["more"] or "")
    if part["priced"]:
        return None if unit else f"{said}{part['priced']}每{part['each']}"
    assert unit is not None
    words = UNITS[unit]
    return said + words + (f"每{PER[part['per']]}" if part["per"] else "")


def _counted(numbers: list[str], part: dict[str, str | None], around: Around) -> str | None:
    """A number of things, or a bare number if its context shows that it is a count; else None."""
    tail = (part["about"] or "") + (part["scale"] or "") + (part["more"] or "")
    behind = tail + around.behind
    following = behind.lstrip(" ")[:1]
    is_counted = bool(tail) or following in COUNTERS or _COUNTED.match(behind) is not None
    if len(numbers) == 2 and re.match(r"年(?![0-9级代初末底])", behind):
        is_counted = Decimal(numbers[1]) < 60 and not (
            Decimal(numbers[0]) >= 10 and Decimal(numbers[1]) == Decimal(numbers[0]) + 1
        )  # 3-5年 is a duration; 15-16年 and 98-99年 may be years
    if _PRICE.match(behind):
        numbers = [_plain(number) for number in numbers]
    if any(number[0] == "-" for number in numbers[1:]) or (len(numbers) == 1 and re.match(r"\s?[年月日]", behind)):
        return None  # not a valid date
    if len(numbers) == 2 and not is_counted and not around.before.endswith("第"):
        return None
    if following == "式":
        return None  # 24式太极拳 counts, 79式 does not
    ordinal = bool(_RANK_BEFORE.search(around.before))
    words = []
    for number in numbers:
        if len(numbers) == 1 and _may_be_year(number, part, tail):
            if following in YEARLY or ("\u4e00" <= following <= "\u9fff" and not is_counted):
                return digit_by_digit(number) if number[2:] != "00" or following in YEARLY else None
            if following in NOT_OF_YEARS or not is_counted:
                return None
        if not _is_sure(number, part, around, is_counted=is_counted, following=following):
            return None
        words.append(cardinal(number, two=bool(tail or is_counted) and not ordinal and part["sign"] is None))
    if numbers[-1:] == ["2"] and not ordinal:
        if following in RANKED:
            words[-1] = "二"
        elif "\u4e00" <= following <= "\u9fff" and not (following in TWO_OF or tail or _COUNTED.match(behind)):
            return None
    return _to(words, part) + tail


def _may_be_year(number: str, part: dict[str, str | None], tail: str) -> bool:
    return number[:2] in ("19", "20") and len(number) == 4 and "," not in (part["first"] or "") and not tail


def _is_sure(number: str, part: dict[str, str | None], around: Around, *, is_counted: bool, following: str) -> bool:
    """Whether a number is surely a count: short, a decimal, with commas, or in a context of counting."""
    if re.match(r"\s?[A-Za-z]", around.behind):
        return False
    if "." in number:
        is_day = _DAY.fullmatch(number) and "\u4e00" <= following <= "\u9fff" and not is_counted
        if _YEAR_AND_MONTH.fullmatch(number) and not is_counted:
            return False
        is_version = len(number.partition(".")[2]) > 1 and _NAME_BEFORE.search(around.before) is not None
        return not is_version and (not is_day or following in _BEHIND_DECIMALS)
    if is_counted or "," in (part["first"] or ""):
        return True
    if following == "号" and len(number) > 2:
        return False
    if len(number) <= 2:
        is_part = len(number) == 2 and _PART_OF.search(around.before)  # 1米75
        return following not in ("年", "月") and not is_part
    return bool(_QUANTITY_BEFORE.search(around.before)) and not "\u4e00" <= following <= "\u9fff"
