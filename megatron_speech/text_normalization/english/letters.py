"""Character folding for English: maps accented letters, quotation marks and spaces to a small set of characters.

    "Łódź’s ﬁrst"  -->  "Lodz's first", and the offset of each of its characters in the text

Unicode decomposition or the table below turns Latin letters into A-Z and a-z. Letters without a sure English sound,
such as phonetic ones, are kept, and the reader refuses them.
"""

from __future__ import annotations

import re
import unicodedata

_LETTERS = {
    "ß": "ss", "ẞ": "SS", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "đ": "d",
    "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "ŋ": "ng", "Ŋ": "Ng", "ħ": "h", "Ħ": "H", "ŧ": "t",
    "Ŧ": "T", "ĸ": "k", "ɓ": "b", "Ɓ": "B", "ɗ": "d", "Ɗ": "D", "ƙ": "k", "Ƙ": "K", "ƴ": "y", "Ƴ": "Y", "ⱪ": "k",
    "ſ": "s",
}  # fmt: skip
_MARKS = {
    "‘": "'", "’": "'", "‛": "'", "ʼ": "'", "ʻ": "'", "ʹ": "'", "′": "'", "“": "“", "”": "“", "„": "“", "‟": "“",
    "«": "“", "»": "“", "″": '"', "‐": "-", "‑": "-", "‒": "–", "―": "—", "⁄": "/", "∕": "/", "º": "°",
    "˚": "°", "…": "…", "№": "#", "µ": "μ", "₂": "2", "₃": "3", "₄": "4", "‚": ",", "‹": "'", "›": "'",
}  # fmt: skip
_KEPT = "½¼¾⅓⅔⅛⅜⅝⅞²³™"
_LEFT_OUT = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\ufe0e")
_READABLE = ("<compat>", "<wide>", "<noBreak>")
_GLUED = re.compile(r"(?<=\d)[₂₃₄\u2160-\u217f\u2474-\u249b]|[₂₃₄\u2160-\u217f\u2474-\u249b](?=\d)")
"""Number signs next to a digit, which must not be folded into it: 5₂ is not 52."""
_LETTER, _MARK = re.compile(r"[A-Za-z]"), re.compile("[\u0300-\u036f]")
_PLAIN = re.compile(r"[\x20-\x7e]*")


class _Folds(dict[int, str]):
    """Translation table from code points to folded text, filled on first use of each code point."""

    def __missing__(self, code: int) -> str:
        self[code] = found = fold_sign(chr(code))
        return found


_FOLDS = _Folds()


def folded(text: str) -> tuple[str, list[int] | None]:
    """Folded text, and the offset in `text` of each folded character and of the end.

    The offsets are None if folding keeps every offset.
    """
    if _PLAIN.fullmatch(text):
        return text, None
    glued = {found.start() for found in _GLUED.finditer(text)}
    if not glued and _MARK.search(text) is None:
        read = text.translate(_FOLDS)
        if len(read) == len(text):
            return read, None
    parts: list[str] = []
    places: list[int] = []
    is_letter = False
    for place, sign in enumerate(text):
        is_mark = _MARK.match(sign) is not None
        if is_mark and is_letter:
            continue
        new = sign if is_mark or place in glued else _FOLDS[ord(sign)]
        if new:
            is_letter = _LETTER.match(new[-1]) is not None
            parts.append(new)
            places += [place] * len(new)
    return "".join(parts), [*places, len(text)]


def fold_sign(sign: str) -> str:
    """Folded form of one character: simpler characters if its reading is sure, "" if silent, else the character."""
    if sign < "\x7f":
        return " " if sign.isspace() else sign
    if sign in _LEFT_OUT:
        return ""
    if sign in _KEPT:
        return sign
    if sign in _LETTERS or sign in _MARKS:
        return _LETTERS.get(sign) or _MARKS[sign]
    if sign.isspace():
        return " "
    if sign.isdecimal():
        return str(unicodedata.decimal(sign))
    decomposed = unicodedata.decomposition(sign).split()
    if not decomposed:
        return sign
    if decomposed[0].startswith("<"):
        parts = [chr(int(code, 16)) for code in decomposed[1:]]
        return "".join(map(fold_sign, parts)) if decomposed[0] in _READABLE and sign != "´" else sign
    base = fold_sign(chr(int(decomposed[0], 16)))
    marks = (chr(int(code, 16)) for code in decomposed[1:])
    is_accented = _LETTER.match(base[-1:]) and all("\u0300" <= mark <= "\u036f" for mark in marks)
    return base if is_accented else sign
