"""Text as it is read aloud, for the text-to-token model only: what it is trained on and what it is asked.

A small model should not have to learn that "1984", "1,984" and "£5" have a spoken form, so numbers and the
commonest signs become words, accents are folded, case is dropped and spaces collapse. The written side of every
document stays as it is. Price: English only, and a guess where the reading is ambiguous ("1984" is a year, "1,984"
a count).
"""

from __future__ import annotations

import re
import unicodedata

from num2words import num2words

_SIGNS = {"&": " and ", "%": " percent ", "+": " plus ", "=": " equals ", "@": " at ", "°": " degrees ", "/": " "}
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}
_DASHES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": ", ", "—": ", ", "−": "-"})
_CURRENCY = re.compile(r"([$£€])\s?(\d[\d,]*(?:\.\d+)?)(?:\s+(thousand|million|billion|trillion))?")
_ORDINAL = re.compile(r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_DECADE = re.compile(r"\b(1[1-9]\d0|20\d0)s\b")
_LONGEST_NUMBER = 15


def spoken(text: str) -> str:
    """Lower-case words and the punctuation that shapes speech (. , ? ! '), single spaces; may be empty."""
    text = text.translate(_DASHES)
    text = _CURRENCY.sub(lambda found: " ".join(filter(None, (found[2], found[3], _CURRENCIES[found[1]]))), text)
    text = _DECADE.sub(lambda found: f" {_plural(_year(int(found[1])))} ", text)
    text = _ORDINAL.sub(lambda found: f" {_words(found[1], to='ordinal')} ", text)
    text = _NUMBER.sub(lambda found: f" {_number(found[0])} ", text)
    for sign, words in _SIGNS.items():
        text = text.replace(sign, words)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[;:()\[\]]", ", ", text)
    text = re.sub(r"[^a-z.,?!' ]", " ", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ([.,?!])", r"\1", text)
    text = re.sub(r"([.,?!])[.,?!]+", r"\1", text)
    text = text.strip(" ,'")
    return text if re.search(r"[a-z]", text) else ""


def _number(digits: str) -> str:
    """A number as a year where it looks like one, else as a count; very long ones digit by digit."""
    trailing = ", " if digits.endswith(",") else ""
    plain = digits.rstrip(",")
    if re.fullmatch(r"1[1-9]\d\d|20\d\d", plain):
        return _year(int(plain)) + trailing
    return _words(plain) + trailing


def _words(digits: str, *, to: str = "cardinal") -> str:
    plain = digits.replace(",", "")
    if len(plain) > _LONGEST_NUMBER or (len(plain) > 1 and plain[0] == "0" and "." not in plain):
        return " ".join(num2words(int(digit)) for digit in plain if digit.isdigit())
    if "." in plain:
        whole, fraction = plain.split(".")
        return f"{num2words(int(whole))} point {' '.join(num2words(int(digit)) for digit in fraction)}"
    return num2words(int(plain), to=to).replace(",", "")


def _year(year: int) -> str:
    return num2words(year, to="year")


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + "s"
