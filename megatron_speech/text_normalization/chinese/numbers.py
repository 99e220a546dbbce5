"""Chinese numbers in words, and the characters that count things.

12345 --> 一万二千三百四十五      2 (of 个) --> 两      2024 (of 年) --> 二零二四      3.14 --> 三点一四
"""

from __future__ import annotations

DIGITS = "零一二三四五六七八九"
LONGEST = 16
"""Digits of the longest number that is read as a count."""

SCALES = ("万亿", "千亿", "百亿", "千万", "百万", "十万", "亿", "万", "千", "百")

COUNTERS = frozenset(
    "个人名位只条张本件次元块角分米里斤克吨升岁天周秒刻台部辆架艘套所座家户间页章节篇首句字组队对双副枚颗粒片段根支枝把瓶杯"
    "碗盒包袋箱批届期场局轮回倍成度种类项级等代亩例起宗株棵朵头匹尾口处点步圈环票席员强载夜折趟番声顿餐道层卷册幅帧款版"
    "磅寸尺丈码桶盘串筐捆堆群股滴罐"
)
"""Measure words: a number of any length before one is a count."""
COUNTING_WORDS = (
    "公里 千米 厘米 毫米 分米 微米 纳米 公斤 千克 毫克 毫升 小时 分钟 星期 世纪 年代 公顷 平方 平米 立方 英里 英尺 "
    "英寸 海里 美元 欧元 英镑 日元 港元 港币 韩元 卢布 卢比 人民币 "
    "美金 台币 加元 澳元 法郎 泰铢 百分点 像素 字节 赫兹 千瓦 "
    "兆瓦 瓦 伏 安培 分贝 摄氏度 华氏度 千卡 大卡 焦耳 帕 兆 吉"
)
TWO_OF = (COUNTERS | {"晚", "年"}) - frozenset("期级等代环段层组队届款版节折")
"""Measure words before which 2 is 两; before the other COUNTERS, 2 may also be a rank."""
RANKED = frozenset("月日号楼班级等代环线期段两比对加减乘除和与或至到的是、")
"""Characters before which 2 is 二: a rank, or a bare figure."""
YEARLY = frozenset("届级款版")
"""Measure words that follow a year: 2024届."""
NOT_OF_YEARS = frozenset("起首回里等成期代头道口部对")
"""Measure words that do not decide whether the number before them is a year: 2020起."""


def digit_by_digit(digits: str, *, telephone: bool = False) -> str:
    """Each digit by its name; in telephone numbers 1 is 幺."""
    words = "".join(DIGITS[int(digit)] for digit in digits)
    return words.replace("一", "幺") if telephone else words


def cardinal(number: str, *, two: bool = False) -> str:
    """A count of at most LONGEST digits without commas, with or without a decimal point, in words.

    Args:
        two: say 两 for 2 and for 200, and for a leading 2 of 千, 万 and 亿.
    """
    whole, _, fraction = number.partition(".")
    if fraction:
        return f"{cardinal(whole, two=two and len(whole) > 1)}点{digit_by_digit(fraction)}"
    value = int(whole)
    if value == 0:
        return DIGITS[0]
    words = _counted(value)
    words = words[1:] if words.startswith("一十") else words
    if two and (words in ("二", "二百") or words[:2] in ("二千", "二万", "二亿")):
        words = "两" + words[1:]
    return words


def _counted(value: int) -> str:
    """Words of an integer above 0, with 一十 for 十."""
    for power, name in ((8, "亿"), (4, "万"), (3, "千"), (2, "百"), (1, "十")):
        unit = 10**power
        if value >= unit:
            high, rest = divmod(value, unit)
            gap = DIGITS[0] if 0 < rest < unit // 10 else ""
            return _counted(high) + name + gap + (_counted(rest) if rest else "")
    return DIGITS[value]
