"""Text normalization: cuts written text into pieces, each with the words a voice says for it.

    "In 1984, we"  -->  (In: in) ( : ) (1984: nineteen eighty four) (,: ,) ( : ) (we: we)  -->  in nineteen ...

Numbers, dates, signs, units and abbreviations become words, so a small model does not have to learn how "1984",
"1,984" and "£5" sound. The written text of a document is not changed. A piece is never cut: "World War II" read in
two parts would mean something else. Text without one certain reading raises `Unreadable` and is never spoken.
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
    """Whether every part of `text` is read as it is written, in any context."""
    return english.is_plain(text) if language == "en" else chinese.is_plain(text)


def read_pieces(text: str, *, language: Language) -> list[Piece]:
    """Consecutive pieces that cover `text`; no pieces for an empty text.

    Raises Unreadable at the first part without a certain reading.
    """
    if language == "en":
        return read_english(text)
    return read_chinese(text)


def odd_pieces(text: str, *, language: Language) -> list[Piece]:
    """Pieces of `read_pieces` with words that differ from the text (for English, from the text in lower case).

    Raises like `read_pieces`.
    """
    return english.odd_pieces(text) if language == "en" else chinese.odd_pieces(text)


def joined(pieces: Iterable[Piece], *, language: Language) -> str:
    """Join the words of consecutive pieces (of a whole text or a part of it) in the form of `spoken`."""
    words = (piece.words for piece in pieces if piece.words)
    return join_english(words) if language == "en" else join_chinese(words)


def spoken(text: str, *, language: Language = "en") -> str:
    """Normalized `text`: words, the punctuation that shapes speech, and single spaces; may be empty.

    en: lower-case words and . , ? ! '
    zh: Chinese characters, Latin words as written (with apostrophes), and 。，、？！

    Raises like `read_pieces`.
    """
    if language == "en":
        return speak_english(text)
    return joined(read_pieces(text, language=language), language=language)


def read_as_written(text: str, *, language: Language = "en") -> str:
    """Like `spoken`, but words that are read as written keep their capitals, which tell "US" from "us"."""
    if is_plain(text, language=language):
        return text
    pieces = read_pieces(text, language=language)
    sources = (text[piece.start : piece.end] for piece in pieces)
    written = (
        piece._replace(words=source) if piece.words == source.lower() else piece
        for piece, source in zip(pieces, sources, strict=True)
    )
    return joined(written, language=language)
