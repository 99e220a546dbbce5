"""English money in words."""

from __future__ import annotations

import re
from typing import NamedTuple

from megatron_speech.text_normalization.english.numbers import (
    END_OR_HYPHEN,
    NUMBER,
    TO,
    Rule,
    Unsure,
    cardinal,
    is_described,
    rule,
    text_after,
    value,
    word_after,
    words_before,
    words_of,
)
from megatron_speech.text_normalization.english.units import UNIT, unit_name


class Currency(NamedTuple):
    """Singular and plural of a currency and of its hundredth."""

    one: str
    many: str
    part: str = ""
    parts: str = ""


_DOLLAR = Currency("dollar", "dollars", "cent", "cents")
_EURO = Currency("euro", "euros", "cent", "cents")
_POUND = Currency("pound", "pounds", "penny", "pence")
_YEN = Currency("yen", "yen")
_SIGNS = {
    "$": _DOLLAR, "€": _EURO, "£": _POUND, "¥": _YEN, "₹": Currency("rupee", "rupees"), "₩": Currency("won", "won"),
    "₽": Currency("ruble", "rubles"), "₪": Currency("shekel", "shekels"), "₫": Currency("dong", "dong"),
    "₴": Currency("hryvnia", "hryvnias"), "₦": Currency("naira", "naira"), "₱": Currency("peso", "pesos"),
    "฿": Currency("baht", "baht"), "₺": Currency("lira", "lira"), "₸": Currency("tenge", "tenge"),
    "₡": Currency("colon", "colones"), "₵": Currency("cedi", "cedis"), "₲": Currency("guarani", "guaranis"),
    "₮": Currency("tugrik", "tugriks"), "₭": Currency("kip", "kip"), "₼": Currency("manat", "manat"),
    "₾": Currency("lari", "lari"), "₿": Currency("bitcoin", "bitcoins"), "₨": Currency("rupee", "rupees"),
}  # fmt: skip
_NATIONS = {"US": "us", "U.S.": "us", "C": "canadian", "CA": "canadian", "A": "australian", "AU": "australian",
            "NZ": "new zealand", "HK": "hong kong", "S": "singapore", "NT": "new taiwan"}  # fmt: skip
_CODES = {
    "USD": Currency("us dollar", "us dollars", "cent", "cents"), "EUR": _EURO, "GBP": _POUND, "JPY": _YEN,
    "CAD": Currency("canadian dollar", "canadian dollars"), "AUD": Currency("australian dollar", "australian dollars"),
    "CHF": Currency("swiss franc", "swiss francs"), "INR": Currency("indian rupee", "indian rupees"),
    "Rs": Currency("rupee", "rupees"), "CNY": Currency("yuan", "yuan"), "RMB": Currency("yuan", "yuan"),
}  # fmt: skip
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "mm": "million", "b": "billion", "bn": "billion",
           "t": "trillion", "tn": "trillion"}  # fmt: skip
_PERIODS = {"hour": "hour", "hr": "hour", "h": "hour", "day": "day", "week": "week", "wk": "week", "month": "month",
            "mo": "month", "year": "year", "yr": "year", "person": "person", "share": "share", "barrel": "barrel",
            "ton": "ton", "night": "night", "gallon": "gallon", "pound": "pound", "unit": "unit"}  # fmt: skip

SIGN = f"[{''.join(_SIGNS)}]"
_DESCRIBED = words_of(
    "deal project contract plan budget bill fund loan program programme company business industry lawsuit settlement "
    "house home prize fine"
)
"""Nouns that a sum such as "$1-billion" may describe."""
_NATION = rf"(?:{'|'.join(map(re.escape, sorted(_NATIONS, key=len, reverse=True)))})"
_WORD = r"([Tt]housand|[Mm]illion|[Bb]illion|[Tt]rillion|[Cc]rore|[Ll]akh)"
_SCALE = rf"(?:[\s-]{_WORD}(?!\w)|\s?([kKmMbBtT]|[bmt]n|MM)(?!\w))?"


def _amount(digits: str, scale: str | None, currency: Currency, *, is_one: bool) -> str:
    """Words of one sum: `digits` "3.5", `scale` "million", `currency` dollars; `is_one` asks for the singular."""
    whole, _, cents = digits.partition(".")
    if not scale and 0 < len(whole) <= 3 and len(cents) == 3 and not currency.one.endswith("dollar"):
        raise Unsure("a decimal or a thousand")
    name = currency.one if is_one else currency.many
    if scale or len(cents) != 2 or not currency.part:
        said = cardinal(digits)
        is_single = said == "one" and not scale
        return f"{said} {scale + ' ' if scale else ''}{currency.one if is_single else name}"
    parts = []
    if value(whole or "0"):
        parts.append(f"{cardinal(whole)} {currency.one if whole == '1' else name}")
    if int(cents):
        number = str(int(cents))
        parts.append(f"{cardinal(number)} {currency.part if number == '1' else currency.parts}")
    return " and ".join(parts) or f"zero {currency.many}"


def _scale(word: str | None, letter: str | None) -> str | None:
    return word.lower() if word else _SCALES[letter.lower()] if letter else None


def _sums(found: re.Match[str], first: int, currency: Currency) -> str:
    """One sum or a range; six groups from `first` on: number, scale word, scale letter, twice."""
    number, word, letter, last, last_word, last_letter = found.group(*range(first, first + 6))
    is_joined = (re.search(r"\d-[a-z]", found[0]) and word_after(found) in _DESCRIBED) or found[0].endswith("-dollar")
    is_joined = is_joined or re.match(r"-(?!plus)", text_after(found, 5)) is not None
    is_one = is_joined or is_described(found)
    scale, last_scale = _scale(word, letter), _scale(last_word, last_letter)
    if last is None:
        return _amount(number, scale, currency, is_one=is_one)
    if (scale is None and value(number) >= value(last)) or (scale and last_scale is None):
        raise Unsure("a range that goes back")
    is_plain = "." not in number or last_scale
    from_ = (
        " ".join(filter(None, (cardinal(number), scale)))
        if is_plain
        else _amount(number, scale, currency, is_one=False)
    )
    return f"{from_} to {_amount(last, last_scale, currency, is_one=is_one)}"


def _money(found: re.Match[str]) -> str | None:
    nation, sign, period = found[1], found[2], found[14]
    if re.search(r"\d\s\Z", words_before(found)):
        raise Unsure("a number beside money")
    is_first = not found[4] and not found[5] and re.search(r"\b(?:between|from)\s\Z", words_before(found))
    if is_first and _UNLIKE.match(text_after(found)):
        raise Unsure("a sum, or one of the scale that follows")
    currency = _SIGNS[sign]
    if nation:
        if sign != "$":
            raise Unsure("letters before a currency")
        of = _NATIONS[nation]
        currency = Currency(f"{of} dollar", f"{of} dollars", "cent", "cents")
    if found[9]:
        return f"{_sums(found, 3, currency)} per {unit_name(found, 9, is_plural=False)}"
    if period and period not in _PERIODS:
        raise Unsure("a slash after money")
    return _sums(found, 3, currency) + (f" per {_PERIODS[period]}" if period else "")


def _sign_last(found: re.Match[str]) -> str | None:
    if found[7] == "¢":
        if found[2] or found[3] or found[4]:
            raise Unsure("cents")
        return f"{cardinal(found[1])} cent{'' if found[1] == '1' or is_described(found) else 's'}"
    return _sums(found, 1, _SIGNS[found[7]] if found[7] in _SIGNS else _CODES[found[7]])


def _code_first(found: re.Match[str]) -> str | None:
    return _sums(found, 2, _CODES[found[1]])


_RANGE = rf"{NUMBER}{_SCALE}(?:{TO}{SIGN}?{NUMBER}{_SCALE})?"
_UNLIKE = re.compile(rf"\s(?:and|to)\s{SIGN}?{NUMBER}(?:[\s-]{_WORD}|\s?(?:[kKmMbBtT]|[bmt]n)(?!\w))")
"""What follows "$10" in "between $10 and $20 million"."""
_CODE = f"(?:{'|'.join(_CODES)})"
_EACH = rf"(?:/(?:{UNIT}|([a-z]+)(?:(?<=mo|yr|wk|hr)\.(?=\s[a-z]))?))"
RULES: list[Rule] = [
    rule(
        rf"({_NATION})?({SIGN})\s?{_RANGE}{_EACH}?(?:-dollar(?=\s[a-z]))?(?:{END_OR_HYPHEN}|(?=-an?-[a-z]))",
        _money,
    ),
    rule(rf"{_RANGE}\s?({SIGN}|¢|{_CODE}){END_OR_HYPHEN}", _sign_last),
    rule(rf"({_CODE})(?:(?<=s)\.)?\s?{_RANGE}{END_OR_HYPHEN}", _code_first),
]
WORDS = frozenset((*_CODES, *_NATIONS))
"""First words of the rules."""
