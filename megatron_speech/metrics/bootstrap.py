"""Means and ratios with 95 % bootstrap intervals (percentile bootstrap over items, with replacement).

An item is an independent unit of the data: a cloze article, a country with all its readings, a document with all its
tokens. Limitation: with few items the interval is a little too narrow; if all items agree, its width is zero
(`intervals.accuracy` then gives Wilson's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.randomness import philox

CHUNK = 1 << 22  # numbers drawn at a time: 32 MB


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval, from `items` independent items."""

    value: float
    low: float
    high: float
    items: int

    def rounded(self) -> EstimateFacts:
        """The estimate to six decimals, for a manifest."""
        return EstimateFacts(
            value=round(self.value, 6), low=round(self.low, 6), high=round(self.high, 6), items=self.items
        )


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Settings of the bootstrap: seed and number of resamples."""

    seed: int = 0
    resamples: int = 2000

    def mean(self, values: Sequence[float]) -> Estimate:
        """Mean over items, with its interval."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, numerators: Sequence[float] | np.ndarray, denominators: Sequence[float] | np.ndarray) -> Estimate:
        """Sum of numerators over sum of denominators (all positive), with items resampled as pairs."""
        above, below = np.asarray(numerators, float), np.asarray(denominators, float)
        assert len(above) == len(below) > 0, f"{len(above)=} {len(below)=}: nothing to estimate from"
        assert (below > 0).all(), "a denominator is not positive"
        low, high = np.percentile(resampled_ratios(above, below, self.seed, self.resamples), [2.5, 97.5])
        return Estimate(value=float(above.sum() / below.sum()), low=float(low), high=float(high), items=len(above))


def resampled_ratios(above: np.ndarray, below: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Sums of `above` over sums of `below` of `resamples` samples of items with replacement."""
    random = philox(seed)
    rows = max(1, CHUNK // len(above))
    draws = []
    for start in range(0, resamples, rows):
        picked = random.integers(len(above), size=(min(rows, resamples - start), len(above)))
        draws.append(above[picked].sum(axis=1) / below[picked].sum(axis=1))
    return np.concatenate(draws)
