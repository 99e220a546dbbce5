"""Cut a document at its spans, put speech in their place, and keep the provenance of every span.

    "The capital of France is Paris."  --cut-->  "The capital of" | " France" | " is Paris."  --compose-->
    text ids | <|begin_of_audio|> speech <|end_of_audio|> | text ids

A word is a run of characters without white space, together with the white space before it, so that pieces join to the
document exactly and a byte-level text tokenizer sees the leading space it was trained with. Each text piece is
tokenised by itself: the ids are those of the text around the speech, as at inference. A span without speech (its
synthesis failed) goes back into the text around it before that text is tokenised. Price: languages written without
spaces need their words separated beforehand.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from megatron_speech.interleave.tasks import enclosed, speech_ids
from megatron_speech.vocabulary import Vocabulary

Boundary = Literal["begin_end", "none"]


@dataclass(frozen=True)
class Piece:
    """A stretch of a document that stays text or is to be spoken; offsets are half-open."""

    text: str
    words: tuple[int, int]
    chars: tuple[int, int]
    spoken: bool


def word_ends(text: str) -> list[int]:
    """End of every word in characters; word i begins where word i - 1 ends, the last one ends with the text."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    return [*ends[:-1], len(text)] if ends else []


def cut(text: str, spans: Sequence[tuple[int, int]], *, ends: Sequence[int]) -> list[Piece]:
    """Pieces from left to right whose texts join to `text`; `spans` in words, `ends` from `word_ends(text)`."""
    bounds, spoken_from = [0], set()
    for start, end in spans:
        assert bounds[-1] <= start < end <= len(ends), f"span {(start, end)} out of order or beyond {len(ends)} words"
        bounds += [start, end]
        spoken_from.add(start)
    bounds.append(len(ends))
    pieces = []
    for start, end in itertools.pairwise(bounds):
        if start < end:
            chars = (ends[start - 1] if start else 0, ends[end - 1])
            pieces.append(Piece(text[slice(*chars)], (start, end), chars, start in spoken_from))
    return pieces


@dataclass(frozen=True)
class Composed:
    """One interleaved sequence."""

    tokens: np.ndarray
    """int32 [T]."""
    spans: list[dict[str, Any]]
    """Per spoken span: words, chars and tokens (half-open, without the boundary tokens)."""
    replaced_text_ids: int
    """Text ids that the spoken spans would have taken."""


def compose(
    pieces: Sequence[Piece],
    codes: Mapping[int, np.ndarray | None],
    *,
    encode: Callable[[str], Sequence[int]],
    vocabulary: Vocabulary,
    boundary: Boundary = "begin_end",
) -> Composed:
    """Tokens of `pieces` with `codes[i]` (int [T]) in place of spoken piece i; None: that piece stays text."""
    parts: list[np.ndarray] = []
    spans: list[dict[str, Any]] = []
    text, length, replaced = "", 0, 0

    def flush() -> None:
        nonlocal text, length
        if text:
            parts.append(np.asarray(encode(text), dtype=np.int32))
            length += len(parts[-1])
            text = ""

    for index, piece in enumerate(pieces):
        spoken = codes[index] if piece.spoken else None
        if spoken is None:
            text += piece.text
            continue
        flush()
        speech = speech_ids(spoken, vocabulary=vocabulary)
        first = length + (boundary == "begin_end")
        parts.append(enclosed(speech, vocabulary=vocabulary) if boundary == "begin_end" else speech)
        length += len(parts[-1])
        replaced += len(encode(piece.text))
        spans.append({"words": [*piece.words], "chars": [*piece.chars], "tokens": [first, first + len(speech)]})
    flush()
    return Composed(np.concatenate(parts) if parts else np.empty(0, np.int32), spans, replaced)
