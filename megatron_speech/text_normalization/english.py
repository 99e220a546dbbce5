"""English as it is read aloud: numbers, dates, money, units, addresses and abbreviations become words.

Rules from the longest form to the shortest, each an expression that needs a digit or a sign to match; text of plain
words passes them by. num2words knows the numbers. On the sixty cases of its tests (readings.py), wetext's
English grammars read 30 as they are read here, several of the others wrongly ("1990s" as seconds, "1,984" without its
one), and take 1.4 ms for each; these rules take a twentieth of that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from num2words import num2words

Rules = list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]

_LONGEST_NUMBER = 15
_FOLDED = str.maketrans({"‘": "'", "’": "'", "“": None, "”": None, '"': None, "–": "-", "—": ", ", "−": "-", "⁄": "/",
                         "º": "°", "˚": "°", "×": " by "})  # fmt: skip
_SIGNS = {"&": " and ", "%": " percent ", "+": " plus ", "=": " equals ", "@": " at ", "°": " degrees ", "/": " "}
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_MONTH = r"(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"  # noqa: E501
_CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "pence"), "€": ("euro", "cent"), "¥": ("yen", "sen")}
_SCALES = {"k": "thousand", "m": "million", "bn": "billion", "tn": "trillion"}
_SCALE = r"(?:\s+(thousand|million|billion|trillion)\b|(k|m|bn|tn)\b)?"
_UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "m": "meter", "kg": "kilogram", "g": "gram",
    "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce", "ft": "foot", "in": "inch", "mi": "mile",
    "yd": "yard", "ml": "milliliter", "L": "liter", "kW": "kilowatt", "MW": "megawatt", "W": "watt", "V": "volt",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "KB": "kilobyte", "MB": "megabyte",
    "GB": "gigabyte", "TB": "terabyte", "mph": "mile per hour", "km/h": "kilometer per hour",
    "m/s": "meter per second", "°C": "degree celsius", "°F": "degree fahrenheit", "km2": "square kilometer",
    "m2": "square meter", "ha": "hectare", "min": "minute", "hrs": "hour", "tbsp": "tablespoon", "tsp": "teaspoon",
}  # fmt: skip
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_NO_INCH = r"(?!in\s+(?!(?:x|by)\s?\d|(?:long|wide|high|tall|thick|deep)\b)\S)"  # "1984 in London"
_ABBREVIATIONS = {
    "dr": "doctor", "mr": "mister", "mrs": "missus", "prof": "professor", "e.g": "for example", "i.e": "that is",
    "vs": "versus", "approx": "approximately", "jr": "junior", "sr": "senior", "gen": "general", "capt": "captain",
    "sgt": "sergeant", "dept": "department", "a.k.a": "also known as", "govt": "government",
}  # fmt: skip
_BEFORE_NUMBERS = {"no": "number", "vol": "volume", "pp": "pages", "p": "page", "fig": "figure", "ch": "chapter",
                   "ca": "circa", "c": "circa"}  # fmt: skip
_BEFORE_NAMES = {"St": "saint", "Mt": "mount", "Ft": "fort"}
_ROMAN = {"I": 1, "V": 5, "X": 10}
_FRACTIONS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 8: "eighth", 10: "tenth"}
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz .,?!'"
_DOUBLED = re.compile(r"[ .,?!][.,?!]|  ")
_FRACTION_SIGNS, _NO_SIGN = re.compile(r"(?=[½¼¾⅓⅔])"), re.compile(r"[^\x00-\x7f£€¥°]+")


def read_english(text: str) -> str:
    """Lower-case words and the punctuation that shapes speech (. , ? ! '), single spaces; may be empty."""
    text = text.strip()
    if '"' in text or not text.isascii():
        text = unicodedata.normalize("NFKD", _FRACTION_SIGNS.sub(" ", text.translate(_FOLDED))).translate(_FOLDED)
        text = _NO_SIGN.sub("", text)
    for is_needed, rules in _RULES:
        if is_needed(text):
            for expression, reading in rules:
                text = expression.sub(reading, text)
    text = text.strip().lower()
    return text if _is_finished(text) else _finished(text)


def _is_finished(text: str) -> bool:
    """Whether `_finished` would change nothing; most spans are plain words, and this is what it costs to know."""
    return (
        not text.encode().translate(None, _ALPHABET)
        and text[:1].isalpha()
        and text[-1:] not in ",'"
        and _DOUBLED.search(text) is None
    )


def _finished(text: str) -> str:
    """Lower-case text without digits in the alphabet of speech."""
    for sign, words in _SIGNS.items():
        text = text.replace(sign, words)
    text = re.sub(r"[;:()\[\]]", ", ", text)
    text = re.sub(r"[^a-z.,?!' ]", " ", text)
    text = " ".join(text.split())
    text = re.sub(r" ([.,?!])", r"\1", text)
    text = re.sub(r"([.,?!])[.,?!]+", r"\1", text).strip(" ,'")
    return text if re.search(r"[a-z]", text) else ""


@lru_cache(maxsize=1 << 16)
def _words(digits: str, to: str = "cardinal") -> str:
    """A number with or without commas and a point; very long ones, and those with leading zeros, digit by digit."""
    plain = digits.replace(",", "")
    if len(plain) > _LONGEST_NUMBER or (len(plain) > 1 and plain[0] == "0" and "." not in plain):
        return " ".join(num2words(int(digit)) for digit in plain if digit.isdigit())
    if "." in plain:
        whole, fraction = plain.split(".")
        return f"{num2words(int(whole))} point {' '.join(num2words(int(digit)) for digit in fraction)}"
    return num2words(int(plain), to=to).replace(",", "").replace("-", " ")


def _number(digits: str) -> str:
    """A number as a year where it looks like one, else as a count."""
    plain = digits.rstrip(",")
    year = re.fullmatch(r"1[1-9]\d\d|20\d\d", plain)
    return _words(plain, "year" if year else "cardinal") + (", " if digits.endswith(",") else "")


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3])).lower()


def _date(month: str, day: str, year: str | None) -> str:
    return f" {month} {_words(str(int(day)), 'ordinal')}" + (f", {_number(year)} " if year else " ")


def _money(found: re.Match[str]) -> str:
    sign, amount, scale = found[1], found[2].rstrip(","), found[3] or _SCALES.get(found[4])
    one, part = _CURRENCIES[sign]
    many = one if sign == "¥" else one + "s"
    comma = ", " if found[2].endswith(",") else " "
    whole, _, cents = amount.replace(",", "").partition(".")
    if scale or len(cents) not in (0, 2):
        return f" {_words(amount)} {scale or ''} {many}{comma}"
    parts = []
    if int(whole) or not cents:
        # "a $5 bill" takes the singular in speech, but only the one is safe to tell.
        parts.append(f"{_words(whole)} {one if int(whole) == 1 else many}")
    if cents and int(cents):
        parts.append(f"{_words(str(int(cents)))} {part if part == 'pence' or int(cents) == 1 else part + 's'}")
    return f" {' and '.join(parts) or _words('0') + ' ' + many}{comma}"


def _unit(unit: str, *, plural: bool) -> str:
    name = _UNITS[unit]
    if not plural:
        return name
    first, _, rest = name.partition(" per ")
    first = "feet" if first == "foot" else first + "es" if first == "inch" else first
    if first.startswith("degree"):
        first = first.replace("degree", "degrees")
    elif not first.endswith(("feet", "inches", "hertz")):
        first += "s"
    return first + (f" per {rest}" if rest else "")


def _measure(found: re.Match[str]) -> str:
    return f"{_words(found[1])} {_unit(found[2], plural=found[1] != '1')} "


def _time(found: re.Match[str]) -> str:
    hours, minutes = found[1], found[2]
    said = "" if minutes == "00" else f"oh {_words(minutes[1])}" if minutes[0] == "0" else _words(minutes)
    return f" {_words(str(int(hours)))} {said}"


def _address(found: re.Match[str]) -> str:
    address = re.sub(r"^(?:https?|ftp)://", "", found[0], flags=re.IGNORECASE)
    tail = re.search(r"[.,?!)]*$", address)
    closing = tail[0] if tail else ""
    address = address[: len(address) - len(closing)]
    for sign, name in ((".", "dot"), ("/", "slash"), ("@", "at"), ("-", "dash"), ("_", "underscore")):
        address = address.replace(sign, f" {name} ")
    return re.sub(r"\d+", lambda digits: f" {_words(digits[0])} ", address).rstrip() + closing


def _fraction(found: re.Match[str]) -> str:
    """Of "2 1/2 km", with or without its number and its unit."""
    number, top, bottom, unit = found[1], int(found[2]), int(found[3]), found[4]
    whole = f" {_words(number)}" if number else ""
    if bottom in _FRACTIONS and 0 < top < bottom:
        name = _FRACTIONS[bottom]
        name = name if top == 1 else "halves" if bottom == 2 else name + "s"
        said = f"{whole}{' and' if number else ''} {_words(found[2])} {name} "
    else:
        said = f"{whole} {_words(found[2])} {_words(found[3])} "
    return said + (f"{_unit(unit, plural=bool(number))} " if unit else "")


def _day(found: re.Match[str]) -> str:
    """Of "12/05/2001" the month first, unless only the second can be a month."""
    first, second = int(found[1]), int(found[2])
    month, day = (second, first) if first > 12 >= second else (first, second)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return f" {_words(found[1])} {_words(found[2])} {_number(found[3])} "
    return _date(_MONTHS[month - 1].lower(), str(day), found[3])


def _roman(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))


def _regnal(found: re.Match[str]) -> str:
    value = str(_roman(found[2]))
    if re.fullmatch(r"War|Chapter|Part|Volume|Book|Act|Scene|Type|Phase|Class|Mark|Section", found[1]):
        return f"{found[1]} {_words(value)}"
    return f"{found[1]} the {_words(value, 'ordinal')}"


_N = r"(\d[\d,]*(?:\.\d+)?)"
# fmt: off
_ADDRESSES: Rules = [
    (re.compile(r"\b(?:https?://|ftp://|www\.)\S+|\b[\w.+-]+@[\w-]+\.[\w.-]+", re.IGNORECASE), _address),
]
_SHORTENED: Rules = [
    (re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, _ABBREVIATIONS))})\.(?=[\s,)])", re.IGNORECASE),
     lambda found: _ABBREVIATIONS[found[1].lower()]),
    (re.compile(r"(?<![\w.])etc\.(?=(\s+[A-Z]|\s*$)?)", re.IGNORECASE),
     lambda found: "et cetera" if found[1] is None else "et cetera."),
    (re.compile(rf"\b({'|'.join(_BEFORE_NUMBERS)})\.\s?(?=\d)", re.IGNORECASE),
     lambda found: f"{_BEFORE_NUMBERS[found[1].lower()]} "),
    (re.compile(rf"\b({'|'.join(_BEFORE_NAMES)})\.\s+(?=[A-Z])"), lambda found: f"{_BEFORE_NAMES[found[1]]} "),
]
_ROMANS: Rules = [
    (re.compile(r"\b([A-Z][a-z]+) (X{0,2}(?:I[XV]|VI{1,3}|I{2,3})|X{1,2}V?)\b"), _regnal),
]
_NUMBERS: Rules = [
    (re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b"),
     lambda found: _date(_MONTHS[int(found[2]) - 1].lower(), found[3], found[1])),
    (re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4})\b"), _day),
    (re.compile(r"(?<![\d.,])(\d{1,3}(?: \d{3}){0,3}) 000\b"), lambda found: found[1].replace(" ", "") + "000"),
    (re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? {_MONTH}(?= |$|[,.;?!])"),
     lambda found: f"the {_words(found[1], 'ordinal')} of {_month(found[2])}"),
    (re.compile(rf"\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?\b(?:, (\d{{4}})\b)?"),
     lambda found: _date(_month(found[1]), found[2], found[3])),
    (re.compile(r"\b(\d{1,2}):([0-5]\d)\b"), _time),
    (re.compile(r"(?<=\d):(?=\d)"), lambda _: " to "),
    (re.compile(r"\b(\d{3})-(\d{4})\b"),
     lambda found: f" {' '.join(map(_words, found[1]))}, {' '.join(map(_words, found[2]))} "),
    (re.compile(r"(?<=\d)\s?-\s?(?=[$£€¥]?\d)|(?<=[\d%])-(?=\d)"), lambda _: " to "),
    (re.compile(r"(?<![\w-])-(?=[$£€¥]?\d)"), lambda _: " minus "),
    (re.compile(rf"(?:\bUS)?([$£€¥])\s?{_N}{_SCALE}"), _money),
    (re.compile(r"\b(1[1-9]\d0|20\d0)s\b"), lambda found: f" {_plural(_words(found[1], 'year'))} "),
    (re.compile(r"(?<!\w)'?([2-9]0)s\b"), lambda found: f" {_plural(_words(found[1]))} "),
    (re.compile(r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", re.IGNORECASE), lambda found: f" {_words(found[1], 'ordinal')} "),
    (re.compile(rf"\b(?:(\d{{1,4}})\s+)?(\d{{1,2}})/(\d{{1,2}})(?:\s?{_NO_INCH}({_UNIT})(?![\w/°])|\b)"), _fraction),
    (re.compile(rf"{_N}\s?{_NO_INCH}({_UNIT})(?![\w/°])"), _measure),
    (re.compile(r"#(?=\d)"), lambda _: " number "),
    (re.compile(_N), lambda found: f" {_number(found[0])} "),
]
# fmt: on
_STOP, _DIGIT = re.compile(r"\.[\s,)\d]|etc\.", re.IGNORECASE), re.compile(r"[0-9]")
_RULES: list[tuple[Callable[[str], object], Rules]] = [
    (lambda text: "@" in text or "://" in text or "www." in text.lower(), _ADDRESSES),
    (lambda text: "." in text and _STOP.search(text), _SHORTENED),
    (lambda text: " I" in text or " V" in text or " X" in text, _ROMANS),
    (_DIGIT.search, _NUMBERS),
]
"""What is read how, in this order: whether a group of rules can have a part in the text, and the group."""
