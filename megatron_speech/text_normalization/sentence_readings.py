"""Readings of a document: each sentence is normalized once and as a whole; a span takes its part of the result.

    "aged 5 in the war"    span "aged 5"  -->  aged five        (read alone, "5 in" could mean inches)

A sentence that the reader of its language refuses gets the reason "reading". To save memory, only pieces that are not
read as written are kept. The reading of a span keeps the capitals of the text, because these tell "US" from "us".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.text_normalization.pieces import Piece, Unreadable
from megatron_speech.text_normalization.speakable import Stretch
from megatron_speech.text_normalization.spoken import is_plain, joined, odd_pieces


class Readings:
    """Words that a voice says for any part of a document that does not cut a piece."""

    def __init__(self, text: str, language: Language) -> None:
        self._text = text.replace("’", "'") if language == "en" else text
        self._language = language
        self._pieces: list[Piece] = []
        self._unreadable: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> bool:
        """Read the sentence at these characters, which follows all earlier ones; return whether it can be read."""
        written = self._text[start:end].lstrip()
        start = end - len(written)
        written = written.rstrip()
        if is_plain(written, language=self._language):
            return True
        try:
            pieces = odd_pieces(written, language=self._language)
        except Unreadable:
            self._unreadable.append((start, end))
            return False
        self._pieces += [_trimmed(piece, written[piece.start : piece.end], start) for piece in pieces]
        return True

    def of(self, start: int, end: int) -> str:
        """Words for these characters, with the capitals of the text; empty if they include an unreadable part."""
        near = bisect_left(self._unreadable, (end,))
        if near and self._unreadable[near - 1][1] > start:
            return ""
        odd = self._pieces[bisect_left(self._pieces, (start,)) : bisect_left(self._pieces, (end,))]
        if not odd and self._language == "en":  # most spans: same result as `joined`, faster
            return " ".join(self._text[start:end].split()).lstrip(" .,?!").rstrip(" ,")
        said: list[Piece] = []
        place = start
        for piece in odd:
            said += [*self._as_written(place, piece.start), piece]
            place = piece.end
        return joined([*said, *self._as_written(place, end)], language=self._language)

    def blocks(self, ends: np.ndarray) -> np.ndarray:
        """Runs of two or more units covered by one piece: int64 [blocks, 2] unit numbers, half-open, in order.

        `ends` holds the end of each unit, in characters.
        """
        bounds = np.array([piece[:2] for piece in self._pieces], dtype=np.int64).reshape(-1, 2)
        first = np.searchsorted(ends, bounds[:, 0], side="right")
        after = np.searchsorted(ends, bounds[:, 1] - 1, side="right") + 1
        runs: list[list[int]] = []
        for start, end in zip(first.tolist(), after.tolist(), strict=True):
            if end - start < 2:
                continue
            if runs and start < runs[-1][1]:  # two pieces share a unit
                runs[-1][1] = end
            else:
                runs.append([start, end])
        return np.array(runs, dtype=np.int64).reshape(-1, 2)

    def _as_written(self, start: int, end: int) -> list[Piece]:
        words = self._text[start:end].split()
        if self._language == "en":
            words = [" ".join(words)]
        return [Piece(start, end, word) for word in words]


def read_sentences(
    text: str, sentences: Sequence[Stretch], *, language: Language, every: bool = False
) -> tuple[list[Stretch], Readings]:
    """Read the speakable sentences; return all sentences and the readings.

    A speakable sentence that cannot be read is returned with the reason "reading".

    Args:
        every: also read sentences that already have a reason.
    """
    readings = Readings(text, language)
    judged = []
    for sentence in sentences:
        if (sentence.reason is None or every) and not readings.add(sentence.start, sentence.end):
            sentence = sentence if sentence.reason else sentence._replace(reason="reading")
        judged.append(sentence)
    return judged, readings


def _trimmed(piece: Piece, source: str, offset: int) -> Piece:
    """`piece` without white space at its ends, with offsets in the document; `source` is its text."""
    start = piece.start + len(source) - len(source.lstrip())
    return Piece(offset + start, offset + start + len(source.strip()), piece.words)
