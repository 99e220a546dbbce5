"""Cut a document at its spans, put speech in their place, and keep the provenance of every span.

    "The capital of France is Paris."  --cut-->  "The capital of" | " France" | " is Paris."  --compose-->
    text ids | <|begin_of_audio|> speech <|end_of_audio|> | text ids

Cutting is all that lies between a document's text and its pieces: sentences (`speakable`), units (`units`), spans
(`spans`, drawn over the speakable units only). Each unit takes the white space before it, so that pieces join to the
document exactly and a byte-level text tokenizer sees the leading space it was trained with. Each text piece is
tokenised by itself: the ids are those of the text around the speech, as at inference. A span without speech (its
synthesis failed) goes back into the text around it before that text is tokenised. Texts of many documents are
tokenised in one call, since a call costs more than a short text.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from megatron_speech.config.interleave import SpansConfig, SpeakableConfig
from megatron_speech.interleave.characters import character_classes, code_points, ends_clause
from megatron_speech.interleave.spans import sample_spans, snap_spans
from megatron_speech.interleave.speakable import Stretch, TextClass, stretches
from megatron_speech.interleave.tasks import enclosed, speech_ids
from megatron_speech.interleave.units import TokenEnds, unit_ends
from megatron_speech.vocabulary import Vocabulary

Boundary = Literal["begin_end", "none"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document that stays text or is to be spoken; offsets are half-open."""

    text: str
    words: tuple[int, int]
    """In units, whatever these are."""
    chars: tuple[int, int]
    spoken: bool
    text_class: TextClass
    """Of the sentence in which the piece begins."""


def cut_document(
    text: str,
    *,
    key: str,
    seed: int,
    spans: SpansConfig,
    speakable: SpeakableConfig,
    token_ends: TokenEnds | None = None,
    counts: Counter[str] | None = None,
) -> list[Piece]:
    """Pieces from left to right whose texts join to `text`, those to be spoken marked; none for a blank text.

    No spoken piece holds anything of a stretch that cannot be spoken: a span across one is cut there. A function of
    (text, key, seed, settings); its time is linear in the text. `token_ends` is needed for `spans.unit` tokens alone.
    `counts` gains the units by what they are: "speakable", or the reason why not.
    """
    points = code_points(text)
    classes = character_classes(points)
    ends = unit_ends(text, spans.unit, classes=classes, token_ends=token_ends)
    if not len(ends):
        return []
    sentences = stretches(text, language=speakable.language, classes=classes)
    may_be_spoken = np.ones(len(ends), dtype=bool)
    if speakable.filter:
        _rule_out(may_be_spoken, ends, sentences, counts)
    chosen = np.flatnonzero(may_be_spoken)
    if counts is not None:
        counts["speakable"] += len(chosen)
    drawn = sample_spans(len(chosen), ratio=spans.ratio, mean_length=spans.mean_length, seed=seed, document_id=key)
    if spans.snap_to_clauses and drawn:
        after = np.concatenate([[True], ends_clause(points[ends[chosen] - 1])])
        after[1:-1] |= np.diff(chosen) > 1
        after[-1] = True
        drawn = snap_spans(drawn, np.flatnonzero(after), seed=seed, document_id=key)
    return _cut(text, _in_document(drawn, chosen), ends.tolist(), sentences)


def _rule_out(
    may_be_spoken: np.ndarray, ends: np.ndarray, sentences: Sequence[Stretch], counts: Counter[str] | None
) -> None:
    """Mark every unit that holds a character of a stretch with a reason, and count it under that reason."""
    barred = [stretch for stretch in sentences if stretch.reason is not None]
    if not barred:
        return
    first = np.searchsorted(ends, [stretch.start for stretch in barred], side="right").tolist()
    last = np.searchsorted(ends, [stretch.end - 1 for stretch in barred], side="right").tolist()
    done = 0
    for stretch, start, end in zip(barred, first, last, strict=True):
        may_be_spoken[start : end + 1] = False
        if counts is not None and stretch.reason is not None:
            counts[stretch.reason] += max(0, end + 1 - max(start, done))
        done = max(done, end + 1)


def _in_document(spans: Sequence[tuple[int, int]], chosen: np.ndarray) -> list[tuple[int, int]]:
    """Spans over `chosen` units as spans over all units, cut where units in between were not chosen."""
    if not len(chosen) or chosen[-1] + 1 == len(chosen):
        return list(spans)
    units, found = chosen.tolist(), []
    for start, end in spans:
        if units[end - 1] - units[start] == end - 1 - start:
            found.append((units[start], units[end - 1] + 1))
            continue
        for _, run in itertools.groupby(range(start, end), key=lambda index: units[index] - index):
            indices = list(run)
            found.append((units[indices[0]], units[indices[-1]] + 1))
    return found


def _cut(text: str, spans: Sequence[tuple[int, int]], ends: Sequence[int], sentences: Sequence[Stretch]) -> list[Piece]:
    """Pieces from left to right; `spans` in units whose ends are `ends`, the last one that of the text."""
    sentence_ends = [sentence.end for sentence in sentences]
    pieces: list[Piece] = []

    def add(start: int, end: int, spoken: bool) -> None:
        if start < end:
            first, last = ends[start - 1] if start else 0, ends[end - 1]
            sentence = sentences[bisect.bisect_right(sentence_ends, first)]
            pieces.append(Piece(text[first:last], (start, end), (first, last), spoken, sentence.text_class))

    position = 0
    for start, end in spans:
        assert position <= start < end <= len(ends), f"span {(start, end)} out of order or beyond {len(ends)} units"
        add(position, start, False)
        add(start, end, True)
        position = end
    add(position, len(ends), False)
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
    """`compose_batch` of one document."""
    return compose_batch(
        [(pieces, codes)],
        encode_batch=lambda texts: [encode(text) for text in texts],
        vocabulary=vocabulary,
        boundary=boundary,
    )[0]


def compose_batch(
    documents: Sequence[tuple[Sequence[Piece], Mapping[int, np.ndarray | None]]],
    *,
    encode_batch: Callable[[Sequence[str]], Sequence[Sequence[int]]],
    vocabulary: Vocabulary,
    boundary: Boundary = "begin_end",
) -> list[Composed]:
    """Tokens of each document's pieces with `codes[i]` (int [T]) in place of spoken piece i; None: it stays text."""
    texts: list[str] = []
    for pieces, codes in documents:
        texts += _texts(pieces, codes)
    ids = iter(encode_batch(texts))
    return [_composed(pieces, codes, ids, vocabulary, boundary) for pieces, codes in documents]


def _texts(pieces: Sequence[Piece], codes: Mapping[int, np.ndarray | None]) -> list[str]:
    """What is to be tokenised, in the order in which `_composed` asks for it: text before a span, text of the span."""
    texts, text = [], ""
    for index, piece in enumerate(pieces):
        if piece.spoken and codes[index] is not None:
            texts += [text, piece.text]
            text = ""
        else:
            text += piece.text
    return [*texts, text]


def _composed(
    pieces: Sequence[Piece],
    codes: Mapping[int, np.ndarray | None],
    ids: Iterator[Sequence[int]],
    vocabulary: Vocabulary,
    boundary: Boundary,
) -> Composed:
    parts: list[np.ndarray] = []
    spans: list[dict[str, Any]] = []
    length = replaced = 0
    for index, piece in enumerate(pieces):
        spoken = codes[index] if piece.spoken else None
        if spoken is None:
            continue
        text = np.array(next(ids), dtype=np.int32)
        replaced += len(next(ids))
        speech = speech_ids(spoken, vocabulary=vocabulary)
        first = length + len(text) + (boundary == "begin_end")
        parts += [text, enclosed(speech, vocabulary=vocabulary) if boundary == "begin_end" else speech]
        length += len(parts[-2]) + len(parts[-1])
        spans.append({"words": [*piece.words], "chars": [*piece.chars], "tokens": [first, first + len(speech)]})
    parts.append(np.array(next(ids), dtype=np.int32))
    return Composed(np.concatenate(parts), spans, replaced)
