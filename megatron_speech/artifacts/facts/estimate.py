"""Facts of measured numbers: estimates with intervals, and word error rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class EstimateFacts(Record):
    """A number with its 95 % bootstrap interval, to six decimals."""

    value: float
    """The number over all items; a share as a fraction."""
    low: float
    """Lower bound of the interval."""
    high: float
    """Upper bound of the interval."""
    items: int
    """Number of items resampled."""


def estimates_in(results: Mapping[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], EstimateFacts]]:
    """Yield (names, estimate) for every estimate in the JSON tree `results`, which stands under the names `above`."""
    for name, part in results.items():
        if isinstance(part, Mapping):
            if {"value", "low", "high", "items"} <= part.keys():
                yield (*above, name), EstimateFacts.from_json(part)
            else:
                yield from estimates_in(part, *above, name)


@dataclass(frozen=True, kw_only=True)
class ErrorRatesFacts(Record):
    """Word and character error rates as fractions, with 95 % intervals over utterances."""

    wer: float
    """Word error rate."""
    wer_low: float
    """Lower bound of its interval."""
    wer_high: float
    """Upper bound of its interval."""
    cer: float
    """Character error rate."""
    cer_low: float
    """Lower bound of its interval."""
    cer_high: float
    """Upper bound of its interval."""
    substitutions: int
    """Words recognised as another."""
    deletions: int
    """Words not recognised."""
    insertions: int
    """Recognised words that were not said."""
    words: int
    """Words in the reference texts."""
    utterances: int
    """Utterances compared."""
    skipped: int
    """Utterances without a word in their text."""
