"""95 % intervals of one score, and of the difference of two scores on the same items, with exact McNemar tests.

Scores of 0 and 1 get Wilson's interval. All others, and differences, get a bootstrap with expanded percentiles
(Hesterberg, arXiv 1411.5279, section 5.3): plain percentiles are too narrow in small samples. Two models that answered
the same items are compared item by item: what is easy for both cancels out.

`bootstrap` computes plain percentiles of ratios; its numbers in older results stay what they are. Its interval has no
width where all items agree, so an accuracy then gets Wilson's (`accuracy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from megatron_speech.metrics.bootstrap import CHUNK, Bootstrap, Estimate, resampled_ratios
from megatron_speech.randomness import philox

LEVEL = 0.95
FEW_VALUES = 64
"""Up to this many different values, resamples are drawn as counts of values, which is much faster."""


def mean_interval(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> Estimate:
    """Mean of the scores of items, with its interval."""
    assert len(values), "no value to estimate from"
    if set(values) <= {0.0, 1.0}:
        return wilson(round(sum(values)), len(values))
    return _resampled(np.asarray(values, float), seed, resamples)


def accuracy(credits: Sequence[float], bootstrap: Bootstrap) -> Estimate:
    """Mean of credits from 0 to 1 with its bootstrap interval; with Wilson's where all agree, for that has a width."""
    resampled = bootstrap.mean(credits)
    return resampled if resampled.low < resampled.high else wilson(sum(credits), len(credits))


def paired_difference(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Mean of `second` minus `first` over the same items, with its interval."""
    assert len(first) == len(second) > 0, f"{len(first)=} {len(second)=}: not the same items"
    return _resampled(np.asarray(second, float) - np.asarray(first, float), seed, resamples)


def ratio_interval(
    amounts: Sequence[float], sizes: Sequence[float], *, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Sum of the amounts of items over the sum of their sizes, such as errors over words, with its interval.

    Differences of two models are amounts, too: errors of one minus those of the other, over the same words.
    """
    assert len(amounts) == len(sizes) > 0, f"{len(amounts)=} {len(sizes)=}: not the same items"
    above, below = np.asarray(amounts, float), np.asarray(sizes, float)
    low, high = np.percentile(resampled_ratios(above, below, seed, resamples), _percentiles(len(above)))
    return Estimate(value=float(above.sum() / below.sum()), low=float(low), high=float(high), items=len(above))


def wilson(right: float, items: int) -> Estimate:
    """Share of `right` items, with Wilson's score interval; it has a width even if all items agree.

    Part of a credit counts as part of an item.
    """
    share, z = right / items, float(stats.norm.ppf((1 + LEVEL) / 2))
    middle = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * np.sqrt(share * (1 - share) / items + (z / (2 * items)) ** 2)
    low, high = (0.0 if right == 0 else middle - half), (1.0 if right == items else middle + half)
    return Estimate(value=share, low=float(low), high=float(high), items=items)


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float:
    """Probability of a split at least as uneven of the items that just one got right, if both are equally good.

    Exact (binomial), two-sided. All scores are 0 or 1; without such an item it is 1.
    """
    differences = np.asarray(second) - np.asarray(first)
    assert set(np.unique(differences)) <= {-1, 0, 1}, "McNemar's test is for scores of 0 and 1"
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0


def _resampled(values: np.ndarray, seed: int, resamples: int) -> Estimate:
    """Mean of `values` with its expanded percentile interval."""
    items = len(values)
    low, high = np.percentile(_means(values, seed, resamples), _percentiles(items))
    return Estimate(value=float(values.mean()), low=float(low), high=float(high), items=items)


def _means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of `resamples` samples of `values` with replacement."""
    random, items = philox(seed), len(values)
    different, counts = np.unique(values, return_counts=True)
    if len(different) <= FEW_VALUES:
        drawn: np.ndarray = random.multinomial(items, counts / items, size=resamples) @ different
        return drawn / items
    rows = max(1, CHUNK // items)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    return np.concatenate([values[random.integers(items, size=(size, items))].mean(axis=1) for size in sizes])


@cache
def _percentiles(items: int) -> list[float]:
    """The percentiles that cover `LEVEL` of the means of samples of this size."""
    if items < 2:
        return [0.0, 100.0]
    outer = 100 * float(stats.norm.cdf(-np.sqrt(items / (items - 1)) * stats.t.ppf((1 + LEVEL) / 2, items - 1)))
    return [outer, 100 - outer]
