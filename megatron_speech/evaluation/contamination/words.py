"""Words of a text, as they are compared: without case, accents, punctuation and apostrophes; Chinese by characters.

Signs that nobody sees, such as soft hyphens, part no word, and neither do accents that are signs of their own.
"""

from __future__ import annotations

import re
import unicodedata

_HAN = "㐀-䶿一-鿿豈-﫿"
_WITHIN = "'’\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufeff"
"""Apostrophes, accents, soft hyphen, and signs without width."""
_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+(?:[{_WITHIN}]+[^\W_{_HAN}]+)*")


def words_with_places(text: str) -> tuple[list[str], list[int]]:
    """Words of `text`, and where each begins in it."""
    found = [(match.group(), match.start()) for match in _WORD.finditer(text)]
    return [_plain(word) for word, _ in found], [start for _, start in found]


def words_of(text: str) -> list[str]:
    """Words of `text`."""
    return [_plain(word) for word in _WORD.findall(text)]


def _plain(word: str) -> str:
    if word.isascii():
        return word.lower().replace("'", "")
    folded = unicodedata.normalize("NFKD", word.casefold())
    return "".join(sign for sign in folded if sign.isalnum())
