"""English units of measure in words, also with powers and divisors ("kg/m3")."""

from __future__ import annotations

import re
from collections.abc import Iterable

from megatron_speech.text_normalization.english.numbers import (
    END_OR_HYPHEN,
    NUMBER,
    TO,
    Rule,
    Unsure,
    any_of,
    cardinal,
    ends_sentence,
    is_counted,
    is_described,
    is_year,
    rule,
    text_after,
    value,
    word_after,
    words_before,
    words_of,
)

_NAMES = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "m": "meter", "dm": "decimeter", "μm": "micrometer",
    "nm": "nanometer", "kg": "kilogram", "g": "gram", "mg": "milligram", "μg": "microgram", "mcg": "microgram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "ft": "foot", "in": "inch", "mi": "mile", "yd": "yard",
    "yds": "yard", "ml": "milliliter", "mL": "milliliter", "dl": "deciliter", "dL": "deciliter", "L": "liter",
    "l": "liter", "gal": "gallon", "tsp": "teaspoon", "tbsp": "tablespoon", "ha": "hectare", "kgs": "kilogram",
    "kms": "kilometer", "cc": "cubic centimeter",
    "fl oz": "fluid ounce", "s": "second", "sec": "second", "secs": "second", "ms": "millisecond", "min": "minute",
    "mins": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "yr": "year", "yrs": "year",
    "wk": "week", "wks": "week", "mo": "month", "mos": "month", "qt": "quart", "nmi": "nautical mile", "W": "watt",
    "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "TW": "terawatt", "mW": "milliwatt", "Wh": "watt hour",
    "kWh": "kilowatt hour", "MWh": "megawatt hour", "GWh": "gigawatt hour", "TWh": "terawatt hour",
    "mAh": "milliamp hour", "V": "volt", "kV": "kilovolt", "mV": "millivolt", "mA": "milliamp", "eV": "electronvolt",
    "keV": "kiloelectronvolt", "MeV": "megaelectronvolt", "GeV": "gigaelectronvolt", "kJ": "kilojoule",
    "MJ": "megajoule", "cal": "calorie", "kcal": "kilocalorie", "Pa": "pascal", "hPa": "hectopascal",
    "kPa": "kilopascal", "MPa": "megapascal", "GPa": "gigapascal", "kN": "kilonewton", "mol": "mole",
    "mmol": "millimole", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte",
    "PB": "petabyte", "Mb": "megabit", "Gb": "gigabit", "px": "pixel", "hp": "horsepower", "dB": "decibel",
    "N": "newton", "J": "joule", "K": "kelvin",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "THz": "terahertz",
}  # fmt: skip
_WHOLE = {
    "mph": "mile per hour", "kph": "kilometer per hour", "kmh": "kilometer per hour", "mpg": "mile per gallon",
    "rpm": "revolution per minute", "bpm": "beat per minute", "fps": "frame per second", "dpi": "dot per inch",
    "kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second",
    "ppm": "part per million", "ppb": "part per billion", "psi": "pound per square inch", "sq ft": "square foot",
    "sq mi": "square mile", "sq km": "square kilometer", "sq m": "square meter", "sq in": "square inch",
    "sq yd": "square yard", "cu ft": "cubic foot", "cu m": "cubic meter", "cu in": "cubic inch", "°C": "degree celsius",
    "°F": "degree fahrenheit", "°": "degree",
}  # fmt: skip
_SMALL = frozenset(sign.lower() for sign in (*_NAMES, *_WHOLE))
_LENGTHS = frozenset(("km", "cm", "mm", "m", "dm", "μm", "nm", "ft", "in", "mi", "yd"))
_TIMES = frozenset(("s", "sec", "h", "hr", "min", "ms"))
_SAME = ("hertz", "horsepower", "celsius", "fahrenheit")
_DOTTED = ("in", "ft", "lb", "lbs", "oz", "min", "mins", "sec", "secs", "hr", "hrs", "mi", "yd", "yds", "gal", "tsp",
           "tbsp", "yr", "yrs", "sq ft", "sq mi", "sq km", "sq m", "sq in", "cu ft", "fl oz", "km", "cm", "mm", "kg",
           "g", "mg", "ml", "m", "wk", "wks", "mo", "mos", "qt")  # fmt: skip
STOPPED = frozenset(_DOTTED)
"""Words after which a full stop may mark an abbreviation."""
_GLUED = words_of("s m g h l")
"""Signs that mean a unit only after a space: "90s" is a decade, "5m" is five million."""
_RACES = words_of(
    "freestyle dash race sprint hurdles relay butterfly backstroke breaststroke run medley final tall long wide deep"
)
_LETTER_CODES = ("I", "V", "W", "L", "X")


def _choice(names: Iterable[str]) -> str:
    signs = sorted(names, key=len, reverse=True)
    return "|".join(re.escape(sign).replace(r"\ ", r"\.?\s?") for sign in signs)


_ONE = rf"({_choice([*_NAMES, *_WHOLE])})([²³23])?"
UNIT = rf"{_ONE}(?:/({_choice(_NAMES)})([²³23])?)?(?![\w/°²³^])(\.(?!\w))?"
"""A unit in five groups: sign, its power, sign of the divisor, its power, full stop."""


def unit_name(found: re.Match[str], group: int, *, is_plural: bool) -> str:
    """Words of the unit in the five groups from `group` on.

    Raises Unsure for a power that this unit cannot have.
    """
    sign, power, divisor, divisor_power = found.group(group, group + 1, group + 2, group + 3)
    sign = re.sub(r"\.?\s", " ", sign)
    sign = sign if sign in _NAMES or sign in _WHOLE else re.sub(r"^(sq|cu|fl)\W*", r"\1 ", sign)
    name = _WHOLE.get(sign) or _powered(sign, power, divides=False)
    said = _many(name) if is_plural else name
    return f"{said} per {_powered(divisor, divisor_power, divides=True)}" if divisor else said


def _powered(sign: str, power: str | None, *, divides: bool) -> str:
    name = _NAMES[sign]
    if power is None:
        return name
    is_square = power in "2²"
    if sign in _LENGTHS:
        return f"{'square' if is_square else 'cubic'} {name}"
    if sign in _TIMES and divides:
        return f"{name} {'squared' if is_square else 'cubed'}"
    raise Unsure("a power of this unit")


def _many(name: str) -> str:
    head, per, rest = name.partition(" per ")
    if head.startswith("degree"):
        return head.replace("degree", "degrees") + per + rest
    if head.endswith(_SAME):
        return name
    head = head[:-4] + "feet" if head.endswith("foot") else head + ("es" if head.endswith("inch") else "s")
    return head + per + rest


def _measure(found: re.Match[str]) -> str | None:
    """ "5 km", "5-km", "20-25 °C", "9.8 m/s2"; None for "5 in the"."""
    first, last, gap, sign = found.group(1, 2, 3, 4)
    if sign in ("K", "N", "J") and gap != " ":
        return None
    _require_unit(found, gap, sign)
    if sign == "in" and not _is_inch(found):
        return None
    if last and value(last) <= value(first):
        raise Unsure("a range that goes back")
    is_one = (last or first) == "1" or gap == "-" or is_described(found)
    amount = f"{cardinal(first)} to {cardinal(last)}" if last else cardinal(first)
    return f"{amount} {unit_name(found, 4, is_plural=not is_one)}{closing_stop(found, 8)}"


def _large_measure(found: re.Match[str]) -> str | None:
    """ "9.6 million km2"."""
    first, last, scale, sign = found.group(1, 2, 3, 4)
    if sign == "in":
        return None
    if last and value(last) <= value(first):
        raise Unsure("a range that goes back")
    amount = f"{cardinal(first)} to {cardinal(last)}" if last else cardinal(first)
    name = unit_name(found, 4, is_plural=not is_described(found))
    return f"{amount} {scale} {name}{closing_stop(found, 8)}"


def is_other_case(word: str) -> bool:
    """Whether only capitals tell `word` from a unit: "KG", "mbps"."""
    return 1 < len(word) < 6 and word not in _NAMES and word not in _WHOLE and word.lower() in _SMALL


def closing_stop(found: re.Match[str], group: int) -> str:
    """A full stop if that of an abbreviated unit (in `group`) also ends a sentence, else ""."""
    if not found[group]:
        return ""
    return "." if ends_sentence(found) else ""


def _require_unit(found: re.Match[str], gap: str, sign: str) -> None:
    is_compound = found[6] or found[5]
    if sign == "m" and not gap and word_after(found) in _RACES:
        return
    if re.match(r"[NJK] [A-Z\d]|[WLV] \d", sign + text_after(found, 2)):
        raise Unsure("a unit, or a letter")
    if sign == "s" and is_year(found[1]):
        raise Unsure("seconds, or years")
    if sign in _GLUED and not gap and not is_compound:
        raise Unsure("a unit, or a letter")
    if sign == "m" and not is_compound and is_counted(word_after(found)):
        raise Unsure("meters or millions")
    if (
        found[8]
        and re.sub(r"\.?\s", " ", sign) not in _DOTTED
        and not re.match(r"\s*\Z|\s+[A-Z]", text_after(found, 40))
    ):
        raise Unsure("an abbreviation")


def _is_inch(found: re.Match[str]) -> bool:
    """Whether "5 in" means inches."""
    rest = text_after(found, 40)
    if found[8]:
        return not re.match(r"\s+[A-Z]", rest)
    if (
        found[3] == "-"
        or found[5]
        or found[6]
        or re.match(r"\s(?:[x×]|by)\s?\d|\s(?:long|wide|high|tall|thick|deep)\b", rest)
    ):
        return True
    if re.match(r"\)", rest) or ("." in found[1] and not re.match(r"\s\w", rest)):
        return True
    follows_length = re.search(r"(?:\b(?:ft|feet|foot)\.?|\bin (?:by|x|×))\s\Z", words_before(found))
    if follows_length and re.match(r"\s(?!(?:the|an?|his|her|its|my|our|their|this|that|front|\d+)\b)\w", rest):
        raise Unsure("inches, or a word")
    return follows_length is not None and not re.match(r"\s\w", rest)


_SIDES = {"N": "north", "S": "south", "E": "east", "W": "west"}
_DISTANCE = re.compile(r"\d\s(?:k?m|mi|n?miles?|(?:kilo)?met(?:er|re)s?|ft|feet|yards)\.?\s\Z")


def _feet_and_inches(found: re.Match[str]) -> str:
    if int(found[2]) > 11:
        raise Unsure("feet and inches, or minutes and seconds")
    feet = f"{cardinal(found[1])} {'foot' if found[1] == '1' else 'feet'}"
    return f"{feet} {cardinal(found[2])} {'inch' if found[2] == '1' else 'inches'}"


def _compass(found: re.Match[str]) -> str:
    return f"{cardinal(found[1])} degree{'' if found[1] == '1' else 's'} {_SIDES[found[2]]}"


def _towards(found: re.Match[str]) -> str | None:
    """ "25 km N of Bath"."""
    return " ".join(_SIDES[letter] for letter in found[0]) if _DISTANCE.search(words_before(found)) else None


def _spaced_degrees(found: re.Match[str]) -> str:
    scale = {"C": "celsius", "F": "fahrenheit"}[found[2]]
    return f"{cardinal(found[1])} degree{'' if found[1] == '1' else 's'} {scale}"


def _no_unit(found: re.Match[str]) -> str | None:
    if found[2] in _LETTER_CODES:
        return None
    raise Unsure("a letter after a number")


TOWARDS = ("N", "S", "E", "W", "NE", "NW", "SE", "SW", "NNE", "NNW", "SSE", "SSW")
"""First words of the rule that reads sides of the compass."""
LETTERS: list[Rule] = [rule(rf"(?:{any_of(TOWARDS)})(?=\sof\s)", _towards)]
RULES: list[Rule] = [
    rule(rf"{NUMBER}\s?°\s([CF]){END_OR_HYPHEN}", _spaced_degrees),
    rule(rf"(\d)'\s?(\d{{1,2}})(?:\"|''){END_OR_HYPHEN}", _feet_and_inches),
    rule(rf"{NUMBER}\s?°\s?([NSEW]){END_OR_HYPHEN}", _compass),
    rule(rf"{NUMBER}(?:{TO}{NUMBER})?([\s-]?){UNIT}{END_OR_HYPHEN}", _measure),
    rule(rf"{NUMBER}(?:{TO}{NUMBER})?\s(thousand|million|billion|trillion)\s{UNIT}{END_OR_HYPHEN}", _large_measure),
    rule(rf"{NUMBER}\s([A-Z]){END_OR_HYPHEN}(?!\.)", _no_unit),
]
