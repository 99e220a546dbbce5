"""The result of reading a text aloud: pieces with their words, or the part that cannot be read."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A part of a text that is read as a unit and never cut; consecutive pieces cover the text."""

    start: int
    end: int
    """Offset in characters, exclusive (`start` is inclusive)."""
    words: str
    """Words that a voice says for the piece, or punctuation; "" for white space and quotation marks."""


class Unreadable(ValueError):
    """Raised for a part of a text that no rule reads, or that has several possible readings."""

    def __init__(self, sign: str, start: int, reason: str) -> None:
        super().__init__(f"{sign!r} at character {start} cannot be read aloud: {reason}")
        self.sign = sign
        """The unreadable part of the text."""
        self.start = start
        """Offset of its first character."""
        self.reason = reason
