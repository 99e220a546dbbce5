"""Text as it is read aloud: pieces of the written text, each with the words a voice says for it.

    "In 1984, we"  -->  (In: in) ( : ) (1984: nineteen eighty four) (,: ,) ( : ) (we: we)  -->  in nineteen ...

A small model should not have to learn that "1984", "1,984" and "£5" have a spoken form, so numbers, dates, signs,
units and abbreviations become words. The written side of every document stays as it is. A piece is never cut: "World
War II" read in two parts says something else. What cannot be read for sure is `Unreadable`, and stays in writing.
"""

from __future__ import annotations

from collections.abc import Iterable

from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.text_normalization.chinese import reader as chinese
from megatron_speech.text_normalization.chinese.reader import join_chinese, read_chinese
from megatron_speech.text_normalization.english import reader as english
from megatron_speech.text_normalization.english.reader import join_english, read_english, speak_english
from megatron_speech.text_normalization.pieces import Piece, Unreadable

__all__ = ["Piece", "Unreadable", "is_plain", "joined", "odd_pieces", "read_as_written", "read_pieces", "spoken"]


def is_plain(text: str, *, language: Language) -> bool:
    """Whether every part of `text` is read as it is written, whatever stands around it."""
    return english.is_plain(text) if language == "en" else chinese.is_plain(text)


def read_pieces(text: str, *, language: Language) -> list[Piece]:
    """Consecutive pieces that cover `text`; none for an empty one.

    Raises Unreadable at the first part whose reading is not known.
    """
    if language == "en":
        return read_english(text)
    return read_chinese(text)


def odd_pieces(text: str, *, language: Language) -> list[Piece]:
    """Those pieces of `read_pieces` that are not read as they are written (of English, in small letters).

    Raises as `read_pieces`.
    """
    return english.odd_pieces(text) if language == "en" else chinese.odd_pieces(text)


def joined(pieces: Iterable[Piece], *, language: Language) -> str:
    """What a voice says for consecutive pieces, as `spoken`: of all pieces of a text, or of a part of them."""
    words = (piece.words for piece in pieces if piece.words)
    return join_english(words) if language == "en" else join_chinese(words)


def spoken(text: str, *, language: Language = "en") -> str:
    """`text` in the letters and the punctuation that a voice needs, single spaces; may be empty.

    en: lower-case words and . , ? ! '
    zh: Chinese characters, Latin words as they stand with the apostrophes in them, and 。，、？！

    Raises as `read_pieces`.
    """
    if language == "en":
        return speak_english(text)
    return joined(read_pieces(text, language=language), language=language)


def read_as_written(text: str, *, language: Language = "en") -> str:
    """As `spoken`, but words that are read as they are written keep their capitals, which tell "US" from "us"."""
    if is_plain(text, language=language):
        return text
    pieces = read_pieces(text, language=language)
    sources = (text[piece.start : piece.end] for piece in pieces)
    written = (
        piece._replace(words=source) if piece.words == source.lower() else piece
        for piece, source in zip(pieces, sources, strict=True)
    )
    return joined(written, language=language)
