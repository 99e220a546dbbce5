"""Cuts a document at its spans, composes text ids and speech ids, and records the origin of every span.

    "The capital of France is Paris."  --cut-->  "The capital of" | " France" | " is Paris."  --compose-->
    text ids | <|begin_of_audio|> speech <|end_of_audio|> | text ids

Cutting finds speakable sentences (`text_normalization.speakable`), units (`units`), and spans of speakable units
(`spans`). Units include the white space before them. So pieces join to the document exactly, and a byte-level tokenizer
sees the leading space of its training. The reading of a span is cut out of the readings of its sentences. Spans never
cut what is read as one, such as a number of several units.

Each text piece is tokenised alone, as at inference. A span without speech (its synthesis failed) is joined to the text
around it before that. Texts of many documents are tokenised in one call, which is faster.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from megatron_speech.artifacts.facts.interleaved import PlacedSpan
from megatron_speech.config.stages.build_interleaved import SpansConfig, SpeakableConfig
from megatron_speech.interleave.spans import keep_whole, sample_spans, snap_spans
from megatron_speech.interleave.units import TokenEnds, unit_ends
from megatron_speech.sequences.speech_tasks import enclosed, speech_ids
from megatron_speech.text_normalization.characters import character_classes, code_points, ends_clause
from megatron_speech.text_normalization.sentence_readings import Readings, read_sentences
from megatron_speech.text_normalization.speakable import Stretch, TextClass, stretches
from megatron_speech.vocabulary import Vocabulary

Boundary = Literal["begin_end", "none"]


class Piece(NamedTuple):
    """A part of a document that stays text or becomes speech; ranges are half-open."""

    text: str
    words: tuple[int, int]
    """Range in units (words, tokens or characters)."""
    chars: tuple[int, int]
    """Range in characters."""
    spoken: bool
    """Whether the piece becomes speech."""
    text_class: TextClass
    """Class of the first sentence of the piece."""
    reading: str = ""
    """Reading of a spoken piece; empty if it has none."""


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
    """Cut `text` into pieces, from left to right, with the spoken ones marked; none for a blank text.

    A span across text that cannot be spoken is cut there. The result is a function of (text, key, seed, settings). Time
    is linear in the text.

    Args:
        key: key of the rendering, which seeds the spans.
        token_ends: needed if `spans.unit` is "tokens".
        counts: gains the number of units that are "speakable", or are not, by reason.
    """
    # Units, sentences, and blocks of units that are read as one.
    points = code_points(text)
    classes = character_classes(points)
    ends = unit_ends(text, spans.unit, classes=classes, token_ends=token_ends)
    if not len(ends):
        return []
    sentences = stretches(text, language=speakable.language, classes=classes)
    sentences, readings = read_sentences(text, sentences, language=speakable.language, every=not speakable.filter)
    blocks = readings.blocks(ends)
    # Units that can be spoken.
    may_be_spoken = np.ones(len(ends), dtype=bool)
    if speakable.filter:
        _rule_out(may_be_spoken, ends, sentences, counts)
        blocks = _whole(blocks, may_be_spoken, counts)
    chosen = np.flatnonzero(may_be_spoken)
    if counts is not None:
        counts["speakable"] += len(chosen)
    # Spans over these units; their ends move to clauses and out of blocks.
    drawn = sample_spans(len(chosen), ratio=spans.ratio, mean_length=spans.mean_length, seed=seed, document_id=key)
    if spans.snap_to_clauses and drawn:
        after = np.concatenate([[True], ends_clause(points[ends[chosen] - 1])])
        after[1:-1] |= np.diff(chosen) > 1
        after[-1] = True
        drawn = snap_spans(drawn, np.flatnonzero(after), seed=seed, document_id=key)
    if len(blocks) and drawn:
        drawn = keep_whole(drawn, np.searchsorted(chosen, blocks), seed=seed, document_id=key)
    return _cut(text, _in_document(drawn, chosen), ends, sentences, readings)


def _rule_out(
    may_be_spoken: np.ndarray, ends: np.ndarray, sentences: Sequence[Stretch], counts: Counter[str] | None
) -> None:
    """Clear `may_be_spoken` for units that touch a stretch with a reason not to be spoken; count them by reason."""
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


def _whole(blocks: np.ndarray, may_be_spoken: np.ndarray, counts: Counter[str] | None) -> np.ndarray:
    """Keep blocks if all their units may be spoken; clears `may_be_spoken` in other blocks."""
    whole = np.array([may_be_spoken[start:end].all() for start, end in blocks], dtype=bool)
    for start, end in blocks[~whole]:
        if counts is not None:
            counts["reading"] += int(may_be_spoken[start:end].sum())
        may_be_spoken[start:end] = False
    kept: np.ndarray = blocks[whole]
    return kept


def _in_document(spans: Sequence[tuple[int, int]], chosen: np.ndarray) -> list[tuple[int, int]]:
    """Turn spans over the `chosen` units into spans over all units, cut at units that are not chosen."""
    if not len(chosen) or chosen[-1] + 1 == len(chosen):
        return list(spans)
    if not spans:
        return []
    drawn = np.array(spans, dtype=np.int64)
    first, last = chosen[drawn[:, 0]], chosen[drawn[:, 1] - 1]
    is_whole = (last - first == drawn[:, 1] - 1 - drawn[:, 0]).tolist()
    found = []
    for start, end, whole, span in zip(first.tolist(), (last + 1).tolist(), is_whole, spans, strict=True):
        if whole:
            found.append((start, end))
            continue
        inside = chosen[slice(*span)]
        for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1):
            found.append((int(run[0]), int(run[-1]) + 1))
    return found


def _cut(
    text: str,
    spans: Sequence[tuple[int, int]],
    ends: np.ndarray,
    sentences: Sequence[Stretch],
    readings: Readings,
) -> list[Piece]:
    """Cut `text` into pieces, from left to right; `spans` are in units, which end at the characters `ends`."""
    pieces: list[Piece] = []
    unit = char = sentence = 0
    bounds = [*itertools.chain.from_iterable(spans), len(ends)]
    lasts = ends[np.maximum(np.array(bounds) - 1, 0)].tolist()
    for index, (end, last) in enumerate(zip(bounds, lasts, strict=True)):
        assert unit <= end <= len(ends), f"a span ends or begins at {end}, before {unit} or beyond {len(ends)} units"
        if unit < end:
            while sentences[sentence].end <= char:
                sentence += 1
            text_class = sentences[sentence].text_class
            spoken = index % 2 == 1
            reading = readings.of(char, last) if spoken else ""
            pieces.append(Piece(text[char:last], (unit, end), (char, last), spoken, text_class, reading))
            unit, char = end, last
    return pieces


@dataclass(frozen=True)
class Composed:
    """One interleaved sequence."""

    tokens: np.ndarray
    """Token ids, int32 [T]."""
    spans: list[PlacedSpan]
    """Its spoken spans."""
    replaced_text_ids: int
    """Number of text ids that the spoken spans replace."""


def compose(
    pieces: Sequence[Piece],
    codes: Mapping[int, np.ndarray | None],
    *,
    encode: Callable[[str], Sequence[int]],
    vocabulary: Vocabulary,
    boundary: Boundary = "begin_end",
) -> Composed:
    """Compose one document; see `compose_batch`."""
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
    """Compose each document from its pieces and `codes[i]` (int [T]) for spoken piece i, or None to keep it as text.

    Raises ValueError for empty or unknown codes.
    """
    laid_out = [_lay_out(*document) for document in documents]
    ids = iter(encode_batch([text for texts, _, _ in laid_out for text in texts]))
    speech = iter(_speech_ids([codes for _, _, parts in laid_out for codes in parts], vocabulary))
    around = np.empty(0, np.int32)
    if boundary == "begin_end":
        around = enclosed(around, vocabulary=vocabulary)
    opening = np.array(vocabulary.begin_of_document, dtype=np.int32)
    return [_composed(spoken, ids, speech, around, opening) for _, spoken, _ in laid_out]


def _lay_out(
    pieces: Sequence[Piece], codes: Mapping[int, np.ndarray | None]
) -> tuple[list[str], list[Piece], list[np.ndarray]]:
    """Texts to tokenise (before each span, of the span, after the last span), spans with speech, and their codes."""
    texts, text = [], ""
    spoken: list[Piece] = []
    speech: list[np.ndarray] = []
    for index, piece in enumerate(pieces):
        sequence = codes[index] if piece.spoken else None
        if sequence is None:
            text += piece.text
            continue
        texts += [text, piece.text]
        spoken.append(piece)
        speech.append(sequence)
        text = ""
    return [*texts, text], spoken, speech


def _speech_ids(speech: Sequence[np.ndarray], vocabulary: Vocabulary) -> list[np.ndarray]:
    """`speech_ids` of each array of codes, converted in one call."""
    lengths = [len(codes) for codes in speech]
    if not all(lengths):
        raise ValueError("speech codes: a span has none, at least one is needed; give None for a span without speech")
    if not speech:
        return []
    ids = speech_ids(np.concatenate(speech), vocabulary=vocabulary)
    ends = list(itertools.accumulate(lengths))
    return [ids[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _composed(
    spoken: Sequence[Piece],
    ids: Iterator[Sequence[int]],
    speech: Iterator[np.ndarray],
    around: np.ndarray,
    opening: np.ndarray,
) -> Composed:
    """Compose the next document of a batch, from its part of `ids` (as `_lay_out` orders texts) and `speech` (ids).

    `around` holds both boundary tokens or none; `opening` holds the begin of the document.
    """
    parts = [opening]
    spans: list[PlacedSpan] = []
    length, replaced = len(opening), 0
    begin, end = around[:1], around[1:]
    for piece in spoken:
        text, spoken_ids = np.array(next(ids), dtype=np.int32), next(speech)
        replaced += len(next(ids))
        first = length + len(text) + len(begin)
        parts += (text, begin, spoken_ids, end)
        length = first + len(spoken_ids) + len(end)
        spans.append(PlacedSpan(words=piece.words, chars=piece.chars, tokens=(first, first + len(spoken_ids))))
    parts.append(np.array(next(ids), dtype=np.int32))
    tokens = np.concatenate(parts)
    if len(tokens) == len(opening):  # an empty text is not a document
        tokens = tokens[:0]
    return Composed(tokens, spans, replaced)
