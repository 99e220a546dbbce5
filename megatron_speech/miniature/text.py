"""Cleans text for voices, tests whether it is speakable, and splits it into sentences.

Accents, dashes and quotes become ASCII, which every voice reads, and a byte-level text-to-token model sees few symbols.
A parenthesis with IPA or another script is removed, because it repeats the word before it. Other non-ASCII text is kept
but not speakable. Limitation: the written corpus has the same spelling, so "Bogotá" is "Bogota" everywhere.
"""

from __future__ import annotations

import re
import unicodedata

FOLDED = {
    "–": "-", "—": ", ", "−": "-", "‐": "-", "‑": "-", "―": ", ", "…": "...", "“": '"', "”": '"', "„": '"', "’": "'",
    "‘": "'", "ʻ": "'", "ʼ": "'", "ʿ": "'", "ʾ": "'", "′": "'", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ø": "o",
    "Ø": "O", "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ı": "i", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D",
}  # fmt: skip
"""Replacements of characters without a Unicode decomposition."""

UNSPEAKABLE = re.compile(r"[^A-Za-z0-9 .,;:!?'\"()&%$/-]|\.\.\.|[A-Za-z0-9]/|/[A-Za-z0-9]|-\s*-")
"""Text that voices read wrongly: other scripts, formulas, ellipses, slashes."""

ABBREVIATION = re.compile(
    "mr|mrs|ms|dr|st|prof|rev|gen|col|capt|lt|sgt|sr|jr|no|vol|vs|etc|approx|ca|fl|cf|al|inc|ltd|co|corp|ed|op|mt|ft|"
    "sq|lit|pron|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec",
    re.IGNORECASE,
)
"""Abbreviations; a full stop after one does not end a sentence."""

PARENTHESIS = re.compile(r"\s*\(((?:[^()]|\([^()]*\))*)\)")
"""A parenthesis, which may contain inner ones without further nesting."""

_ENDS = re.compile(r"[.!?][\"')]*\s+(?=[\"'(]?[A-Z0-9])")


def clean_text(text: str) -> str:
    """`text` as one paragraph: ASCII if possible, single spaces, no control characters."""
    text = "".join(FOLDED.get(char, char) for char in unicodedata.normalize("NFC", text))
    text = "".join(_fold(char) for char in text)
    text = "".join(" " if char.isspace() else char for char in text)
    text = "".join(char for char in text if unicodedata.category(char)[0] != "C")
    text = PARENTHESIS.sub(_keep_plain, text)
    text = re.sub(r"\s+([,.;:!?)])", r"\1", re.sub(r"\s+", " ", text))
    return re.sub(r",(\s*,)+", ",", text).strip()


def is_speakable(text: str) -> bool:
    """Whether every voice reads all of `text` correctly; false for empty text."""
    return bool(text) and UNSPEAKABLE.search(text) is None


def split_sentences(text: str) -> list[str]:
    """Sentences of a clean paragraph; a full stop after an initial or an abbreviation does not end one."""
    sentences, start = [], 0
    for match in _ENDS.finditer(text):
        word = re.split(r"[\s(\"]", text[start : match.start()])[-1]
        if match.group().rstrip() == "." and (len(word) == 1 or "." in word or ABBREVIATION.fullmatch(word)):
            continue
        sentences.append(text[start : match.end()].strip())
        start = match.end()
    return [*sentences, text[start:].strip()] if text[start:].strip() else sentences


def _fold(char: str) -> str:
    """A Latin letter without diacritics; any other character unchanged."""
    if char.isascii():
        return char
    bare = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    return bare if bare.isascii() and bare.isalpha() else char


def _keep_plain(match: re.Match[str]) -> str:
    """The matched parenthesis if it holds ASCII text, else nothing."""
    inside = match.group(1).strip()
    plain = inside.isascii() and inside[:1] not in ("", ";", ",") and "/" not in inside
    return match.group() if plain else ""
