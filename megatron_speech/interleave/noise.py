"""Measures the noise of synthetic speech: recognises a sample of every shard's spans and counts word errors.

    codes of a span --recognise--> words    against    its reading ("1984": "nineteen eighty four")

Error rates are given by shard, by class of text and by length of span, with bootstrap intervals over spans. The sample
depends on the seed and the span keys only (the smallest hashes), so batches and restarts do not change it. In Chinese
every character counts as a word. Limitations: errors of the recogniser count as noise (`round_trip` measures
them on real speech). A few words are harder to recognise alone than in their sentence.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from megatron_speech.artifacts.facts.interleaved import NoiseFacts, NoisePartFacts, NoiseRow
from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.interleave.stream import Interleaved
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.word_errors import normalize, utterance_edits
from megatron_speech.randomness import xxh3_number
from megatron_speech.speech_tokenizer.interface import CodeRecognizer

LENGTHS = (5, 10, 15, 20)
"""First length, in units, of each bin after the first."""
RESAMPLES = 1000
Rows = Sequence[NoiseRow]
"""Results of `SpanSample.read_back`."""
_HAN = re.compile(r"([\u3400-\u9fff\uf900-\ufaff])")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span of the sample."""

    key: str
    """Unique among all spans."""
    text_class: str
    """Class of text."""
    units: int
    """Length in words."""
    text: str
    """Text of the span."""
    said: str
    """Reading of the span."""


class SpanSample:
    """A uniform sample of at most `size` spans: those with the lowest hashes of (seed, key)."""

    def __init__(self, size: int, *, seed: int, max_codes: int) -> None:
        self._size, self._seed, self._max_codes = size, seed, max_codes
        self._heap: list[tuple[int, int, Span, np.ndarray]] = []
        self._shown = 0
        self.too_long = 0
        """Number of spans longer than the recogniser's limit, which are not sampled."""

    def show(self, made: Interleaved) -> None:
        """Offer the spoken spans of a document to the sample."""
        spoken_pieces = [index for index in sorted(made.codes) if made.codes[index] is not None]
        for index, span in zip(spoken_pieces, made.document.meta["spans"], strict=True):
            codes, piece = made.codes[index], made.pieces[index]
            assert codes is not None
            if len(codes) > self._max_codes:
                self.too_long += 1
                continue
            # Keep the span if its hash is among the lowest.
            rank = -xxh3_number(f"{self._seed}\0noise\0{span['key']}")
            self._shown += 1
            if len(self._heap) == self._size and rank <= self._heap[0][0]:
                continue
            drawn = Span(
                key=span["key"],
                text_class=piece.text_class,
                units=piece.words[1] - piece.words[0],
                text=piece.text.strip(),
                said=piece.reading,
            )
            push = heapq.heappush if len(self._heap) < self._size else heapq.heapreplace
            push(self._heap, (rank, -self._shown, drawn, codes))

    def read_back(self, recognizer: CodeRecognizer, *, language: Language, shard: str) -> list[NoiseRow]:
        """Recognise the sampled spans of `shard`; returns a row with the errors of each span that has words."""
        # Recognise, in the order of the documents.
        drawn = sorted(self._heap, key=lambda item: -item[1])
        heard = recognizer.recognize([codes for *_, codes in drawn])
        spans = []
        for (_, _, span, codes), guess in zip(drawn, heard, strict=True):
            said = comparable(span.said, language=language)
            if normalize(said):
                spans.append((replace(span, said=said), len(codes), guess))
        if not spans:
            return []
        # Count errors.
        guesses = [comparable(guess, language=language) for *_, guess in spans]
        edits = utterance_edits([span.said for span, *_ in spans], guesses)
        return [
            NoiseRow(
                shard=shard,
                **vars(span),
                codes=codes,
                heard=guess,
                word_edits=int(edits.word_edits[index]),
                words=int(edits.words[index]),
                character_edits=int(edits.character_edits[index]),
                characters=int(edits.characters[index]),
            )
            for index, (span, codes, guess) in enumerate(spans)
        ]


def comparable(text: str, *, language: str) -> str:
    """Separate Chinese characters by spaces, so that each counts as a word."""
    return _HAN.sub(r" \1 ", text) if language == "zh" else text


def summarize(shards: Sequence[tuple[Rows, int]]) -> NoiseFacts:
    """Error rates with 95 % intervals: total, by class of text and by length of span.

    `shards` holds (sampled rows, number of spans) of each shard. Rows are weighted by spans per row of their shard, so
    that the rates are those of all spans, not of an average shard.
    """
    rows = [(row, spans / len(sample)) for sample, spans in shards for row in sample]
    classes = sorted({row.text_class for row, _ in rows})
    by_length: list[list[tuple[NoiseRow, float]]] = [[] for _ in length_labels()]
    for row, weight in rows:
        by_length[np.searchsorted(LENGTHS, row.units, "right")].append((row, weight))
    whole = _rates(rows) if rows else None
    return NoiseFacts(
        spans=len(rows),
        wer=whole.wer if whole else None,
        cer=whole.cer if whole else None,
        by_class={name: _rates([pair for pair in rows if pair[0].text_class == name]) for name in classes},
        by_length={label: _rates(found) for label, found in zip(length_labels(), by_length, strict=True) if found},
    )


def length_labels() -> list[str]:
    """Names of the bins of span lengths: "1-4", "5-9", ..., "20+"."""
    edges = (1, *LENGTHS)
    return [f"{first}-{after - 1}" for first, after in zip(edges, LENGTHS, strict=False)] + [f"{edges[-1]}+"]


def shard_rate(rows: Rows) -> float | None:
    """Word error rate of one shard's sample, as a fraction; None if no word was compared."""
    words = sum(row.words for row in rows)
    return sum(row.word_edits for row in rows) / words if words else None


def _rates(rows: Sequence[tuple[NoiseRow, float]]) -> NoisePartFacts:
    """Error rates of weighted rows."""
    counted = ("word_edits", "words", "character_edits", "characters")
    word_edits, words, character_edits, characters = (
        np.array([getattr(row, name) * weight for row, weight in rows]) for name in counted
    )
    bootstrap = Bootstrap(resamples=RESAMPLES)
    return NoisePartFacts(
        wer=bootstrap.ratio(word_edits, words).rounded(), cer=bootstrap.ratio(character_edits, characters).rounded()
    )
