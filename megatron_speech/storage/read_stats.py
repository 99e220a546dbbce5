"""Read statistics: counters and a histogram of read times, which can be summed over ranks."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

COUNTS = ("row_bytes", "cache_hits", "cache_misses", "retries", "damaged_samples", "damaged_blocks")
PER_OCTAVE = 4
"""Buckets per doubling of the time; a percentile is at most 19 % too large."""
SHORTEST_S = 1e-6
BUCKETS = 28 * PER_OCTAVE
"""Number of buckets; they reach to 268 s."""


class ReadStats:
    """Statistics that reader threads add to and the training loop takes out; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = np.zeros(len(COUNTS) + BUCKETS, np.int64)
        self._masked = Counter[str]()

    def add(self, **counts: int) -> None:
        """Add to counters named in COUNTS."""
        with self._lock:
            for name, count in counts.items():
                self._values[COUNTS.index(name)] += count

    def add_masked(self, samples: Mapping[str, int]) -> None:
        """Add numbers of masked samples per source."""
        with self._lock:
            self._masked.update(samples)

    def masked(self, sources: Sequence[str]) -> NDArray[np.int64]:
        """Masked samples of each of the `sources` since the start, [n]."""
        with self._lock:
            return np.array([self._masked[name] for name in sources], np.int64)

    def time(self, seconds: float, *, num_bytes: int) -> None:
        """Count one row of `num_bytes` that took `seconds`."""
        bucket = int(PER_OCTAVE * math.log2(max(seconds, SHORTEST_S) / SHORTEST_S))
        with self._lock:
            self._values[0] += num_bytes
            self._values[len(COUNTS) + min(bucket, BUCKETS - 1)] += 1

    def take(self) -> NDArray[np.int64]:
        """Values since the last call: COUNTS, then the buckets; sum them over ranks before `describe`."""
        with self._lock:
            taken, self._values = self._values, np.zeros_like(self._values)
        return taken


def describe(values: NDArray[np.int64]) -> dict[str, float]:
    """Counters of `ReadStats.take` by name, with the 50th and 99th percentile of read times in milliseconds."""
    counts, buckets = values[: len(COUNTS)], values[len(COUNTS) :]
    return {
        "read_ms_p50": _percentile_ms(buckets, 0.5),
        "read_ms_p99": _percentile_ms(buckets, 0.99),
        **dict(zip(COUNTS, counts.tolist(), strict=True)),
    }


def _percentile_ms(buckets: NDArray[np.int64], share: float) -> float:
    """Upper end of the bucket that holds the percentile; 0 if nothing was read."""
    total = int(buckets.sum())
    if not total:
        return 0.0
    bucket = int(np.searchsorted(np.cumsum(buckets), share * total))
    return round(1e3 * SHORTEST_S * 2 ** ((bucket + 1) / PER_OCTAVE), 6)
