"""What a reader makes of a text: pieces with their words, or the part that it cannot read."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A part of a text that is read as one, and is never cut; consecutive pieces cover the text."""

    start: int
    end: int
    """Characters of the text, half-open."""
    words: str
    """What a voice says for them, or punctuation; "" for white space and quotation marks."""


class Unreadable(ValueError):
    """A part of a text whose reading is not known, or not sure."""

    def __init__(self, sign: str, start: int, reason: str) -> None:
        super().__init__(f"{sign!r} at character {start} cannot be read aloud: {reason}")
        self.sign = sign
        """The part of the text."""
        self.start = start
        """Its first character."""
        self.reason = reason
