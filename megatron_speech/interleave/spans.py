"""Samples the spans of a document that become speech: lengths from a Poisson distribution, then random places.

    target  `ratio` x number of words
    lengths l_1, l_2, ... ~ Poisson(mean), until their sum reaches the target
    places  drawn uniformly among all placements in which no two spans touch

A word is here any unit of a document (`interleave.units`) that may be spoken; the caller numbers these units from 0.
This follows arXiv 2411.17607 (mean 10, ratio 0.3), with these additions:

* A length of zero is drawn again.

* The last length crosses the target. To keep it always would give too much speech (a public sampler reaches 0.34 at
  100 words). To shorten it to the target always would change the distribution. So it is limited to half of the
  document, and then kept or dropped, with the probability that makes the expected number of spoken words exact.

* If the first length already reaches the target, the document is too short. Its only span then has the length of the
  target, rounded up or down at random so that the expectation is exact.

The expected ratio is exact for every document length. The speech of a single document deviates from the target by less
than the last length drawn, kept or dropped. In a document that is too short, it deviates by less than one word.

Randomness is a function of (seed, document id): raw bits of a Philox generator keyed by sha256. NumPy keeps raw bits
stable across versions, but not distributions. Limitation: at most half of a document becomes speech.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from megatron_speech.randomness import sha256_number, unit_interval

MAX_RATIO = 0.5
"""Largest ratio: up to it, any drawn lengths fit into a document with a text word between neighbours."""

MAX_SNAP = 6
"""Largest distance, in words, by which the end of a span moves to a clause boundary."""


def sample_spans(
    num_words: int, *, ratio: float = 0.3, mean_length: float = 10.0, seed: int, document_id: str
) -> list[tuple[int, int]]:
    """Sample half-open word ranges (start, end), in order, with at least one word between two spans.

    The expected number of covered words is `ratio * num_words`. A document deviates by less than the last length drawn,
    kept or dropped. Time is linear in `num_words`. Raises ValueError for a ratio outside (0, 0.5] or a mean below one
    word.
    """
    assert num_words >= 0, f"{num_words=} must not be negative"
    check_span_settings(ratio, mean_length)
    if num_words == 0:
        return []
    draws = _Draws(seed, document_id)
    lengths = _draw_lengths(draws, num_words, ratio, mean_length)
    starts, lengths = _place(draws, num_words, lengths)
    return list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))


def snap_spans(
    spans: list[tuple[int, int]], boundaries: np.ndarray, *, seed: int, document_id: str
) -> list[tuple[int, int]]:
    """Move both ends of each span to `boundaries` of clauses; `spans` must not be empty.

    `boundaries` (int [n], ascending) are numbers of the first word of each clause, then the number of words. An end
    moves to the nearest boundary below or above it, at random, so that its expected place stays. It moves only if both
    boundaries are within MAX_SNAP words, and not beyond the middle of the span or of the text beside it. So spans do
    not vanish or touch, and the expected number of spoken words stays. Lengths are then not Poisson.
    """
    # Words by which each end may move: half of the span, and half of the text beside it.
    drawn = np.array(spans, dtype=np.int64)
    gaps = np.append(drawn[1:, 0], boundaries[-1] + 1 + 2 * MAX_SNAP) - drawn[:, 1]
    before = np.append(drawn[0, 0] + 1 + 2 * MAX_SNAP, gaps[:-1])  # the outermost ends may move by MAX_SNAP
    lengths = drawn[:, 1] - drawn[:, 0]
    # Round each end to one of its two boundaries.
    uniform = _Draws(seed, f"{document_id}\0snap").uniform(drawn.size).reshape(drawn.shape)
    starts = _rounded(drawn[:, 0], boundaries, (before - 1) // 2, (lengths - 1) // 2, uniform[:, 0])
    ends = _rounded(drawn[:, 1], boundaries, (lengths - 1) // 2, (gaps - 1) // 2, uniform[:, 1])
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def keep_whole(
    spans: list[tuple[int, int]], blocks: np.ndarray, *, seed: int, document_id: str
) -> list[tuple[int, int]]:
    """Move both ends of each span out of `blocks`: words with one reading for all of them, such as a number.

    `blocks` are half-open word ranges, int [n, 2], in order and not touching. An end inside a block moves to the
    block's start or end, at random, so that its expected place stays. One draw per block decides for all ends in it,
    which keeps spans in order and the expected number of spoken words. A span inside a block becomes the block or
    vanishes, and spans that touch are joined. So a document of one block becomes all speech or stays text.
    """
    # Ends inside a block.
    bounds = np.array(spans, dtype=np.int64).ravel()
    nearest = np.maximum(np.searchsorted(blocks[:, 0], bounds, side="right") - 1, 0)
    first, last = blocks[nearest].T if len(blocks) else (bounds, bounds)
    inside = (first < bounds) & (bounds < last)
    if not inside.any():
        return spans
    # Move them, then remove empty spans and join touching ones.
    uniform = _Draws(seed, f"{document_id}\0blocks").uniform(len(blocks))[nearest]
    whole = np.where(uniform * (last - first) < bounds - first, last, first)
    starts, ends = np.where(inside, whole, bounds).reshape(-1, 2).T
    starts, ends = starts[starts < ends], ends[starts < ends]
    # One entry per gap between neighbours: whether text is left in it.
    apart = starts[1:] > ends[:-1]
    starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _rounded(
    places: np.ndarray, boundaries: np.ndarray, below: np.ndarray, above: np.ndarray, uniform: np.ndarray
) -> np.ndarray:
    """Round `places` to boundaries, unbiased, at most `below` down or `above` up; other places stay. int64 [n]."""
    lower = boundaries[np.searchsorted(boundaries, places, side="right") - 1]
    upper = boundaries[np.minimum(np.searchsorted(boundaries, places, side="left"), len(boundaries) - 1)]
    may = (places - lower <= np.minimum(below, MAX_SNAP)) & (upper - places <= np.minimum(above, MAX_SNAP))
    rounded = np.where(uniform * (upper - lower) < places - lower, upper, lower)
    return np.where(may, rounded, places)


def check_span_settings(ratio: float, mean_length: float) -> None:
    """Raise ValueError for settings that `sample_spans` does not accept."""
    if not 0.0 < ratio <= MAX_RATIO:
        raise ValueError(
            f"ratio={ratio} must be above 0 and at most {MAX_RATIO}: spans may not touch; the paper uses 0.3"
        )
    if not 1.0 <= mean_length <= 1e6:
        raise ValueError(
            f"mean_length={mean_length} must be at least 1 word (and at most a million); the paper uses 10"
        )


class _Draws:
    """Random numbers of one document: a Philox generator keyed by sha256 of (seed, document id)."""

    def __init__(self, seed: int, document_id: str) -> None:
        self._philox = np.random.Philox(key=sha256_number(f"{seed}\0{document_id}", num_bytes=16))

    def bits(self, count: int) -> np.ndarray:
        """Random bits, uint64 [count]."""
        return self._philox.random_raw(count)

    def uniform(self, count: int) -> np.ndarray:
        """Uniform numbers in [0, 1), float64 [count]."""
        return unit_interval(self.bits(count))


def _draw_lengths(draws: _Draws, num_words: int, ratio: float, mean_length: float) -> np.ndarray:
    """Draw lengths int64 [k] with an expected sum of `ratio * num_words`."""
    # Poisson lengths until they reach the target.
    target = ratio * num_words
    expected = target / mean_length
    batch = int(expected + 4.0 * math.sqrt(expected)) + 4
    uniform = draws.uniform(1 + batch)
    keep = float(uniform[0])
    lengths = _poisson(uniform[1:], mean_length)
    ends = lengths.cumsum()
    while ends[-1] < target:
        lengths = np.concatenate([lengths, _poisson(draws.uniform(batch), mean_length)])
        ends = lengths.cumsum()
    # Keep or drop the length that crosses the target; a first one is replaced by the rounded target.
    crossing = int(ends.searchsorted(target))
    if crossing == 0:
        return np.array([length] if (length := math.floor(target + keep)) else [], dtype=np.int64)
    whole, missing = lengths[:crossing], target - ends[crossing - 1]
    room = num_words - int(ends[crossing - 1]) - crossing  # leaves a text word after every earlier span
    length = min(int(lengths[crossing]), -(-num_words // 2), room)
    assert missing <= length, f"{missing=} {length=}: cannot happen while ratio <= {MAX_RATIO}"
    return np.append(whole, length) if keep * length < missing else whole


def _poisson(uniform: np.ndarray, mean: float) -> np.ndarray:
    """Poisson lengths without zero, by inversion of `uniform`: int64, of its shape."""
    return 1 + _cumulative(mean).searchsorted(uniform, side="right")


@lru_cache(maxsize=8)
def _cumulative(mean: float) -> np.ndarray:
    """P(length <= 1), P(length <= 2), ... of a Poisson length without zero, until less than 1e-18 is left."""
    lengths = np.arange(1, int(mean + 12.0 * math.sqrt(mean)) + 24)
    log_probabilities = lengths * math.log(mean) - mean - np.array([math.lgamma(n + 1.0) for n in lengths])
    return np.cumsum(np.exp(log_probabilities)) / -math.expm1(-mean)


def length_probabilities(mean_length: float, largest: int) -> np.ndarray:
    """P(length = 1), ..., P(length = largest) of the drawn lengths, float64 [largest]."""
    cumulative = np.append(_cumulative(mean_length), np.ones(largest))
    return np.diff(cumulative[:largest], prepend=0.0)


def _place(draws: _Draws, num_words: int, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle the spans, and place them uniformly so that none touch: starts and lengths int64 [k], left to right.

    A placement is given by the number of text words before each span. No two of these numbers are equal, as spans do
    not touch. So a placement is a set of k numbers out of {0, ..., number of text words}. It is drawn by giving each
    number a random key and taking the k smallest keys.
    """
    num_spans, num_text = len(lengths), num_words - int(lengths.sum())
    if not num_spans:
        return lengths, lengths
    lengths = lengths[draws.bits(num_spans).argsort(kind="stable")]
    before = draws.bits(num_text + 1).argpartition(num_spans - 1)[:num_spans]
    before.sort()
    return before + lengths.cumsum() - lengths, lengths
