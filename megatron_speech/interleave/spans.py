"""Which words of a document become speech: lengths from a Poisson distribution, then places for them.

    lengths l_1, l_2, ... ~ Poisson(mean), until they cover `ratio` of the document's words
    places  drawn uniformly among all in which no two spans touch

as in arXiv 2411.17607 (its mean is 10, its ratio 0.3), made exact where the paper leaves room:

* A length of zero is drawn again.
* The span that crosses the target is neither always kept (documents would get too much speech: a public sampler reaches
  0.34 at 100 words) nor always cut to size (its length would not be Poisson's): it is kept whole with the probability
  that makes the expected number of spoken words exactly `ratio` times the number of words. It is first limited to half
  of the document.
* Where the very first length reaches the target already, the document is too short for drawn lengths: its only span is
  the target, rounded up or down at random so that the expectation is exact. Two words or more are never all speech, and
  there is speech whenever its target is a word or more.

So for every document length the expected ratio is exact, and one document deviates from it by less than its crossing
span, by less than half of the document, and by less than one word where there is a single span. Randomness is a
function of (seed, document id) alone: a Philox stream keyed by sha256, read as raw bits, whose values NumPy promises to
keep (its distributions it does not). Price: at most half of a document can be speech.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from megatron_speech.randomness import sha256_number, unit_interval

MAX_RATIO = 0.5
"""Up to here any drawn lengths find places with a text word between neighbours, in a document of any length."""

MAX_SNAP = 6
"""Farthest that the end of a span moves to a clause boundary, in words."""


def sample_spans(
    num_words: int, *, ratio: float = 0.3, mean_length: float = 10.0, seed: int, document_id: str
) -> list[tuple[int, int]]:
    """Half-open word ranges (start, end) to be spoken, in order, at least one unspoken word between two of them.

    Expected covered words are exactly `ratio * num_words`; the deviation in one document is less than its longest span.
    Time is linear in `num_words`. Raises ValueError for a ratio outside (0, 0.5] or a mean below one word.
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
    """`spans` with their ends moved to `boundaries` (ascending, int [n]), every end the same in expectation.

    An end between two boundaries goes to the lower or the upper one, with the probability that keeps its mean where it
    is; it stays where it is unless both are within MAX_SNAP words of it and on its own side of the middle of the span
    and of the text next to it. So spans neither vanish nor touch, and the expected number of spoken words is that of
    `spans`; their lengths are no longer Poisson's.
    """
    drawn = np.array(spans, dtype=np.int64)
    gaps = np.append(drawn[1:, 0], boundaries[-1] + 1 + 2 * MAX_SNAP) - drawn[:, 1]
    before = np.append(drawn[0, 0] + 1 + 2 * MAX_SNAP, gaps[:-1])  # beyond the ends of the document nothing is touched
    lengths = drawn[:, 1] - drawn[:, 0]
    uniform = _Draws(seed, f"{document_id}\0snap").uniform(drawn.size).reshape(drawn.shape)
    starts = _rounded(drawn[:, 0], boundaries, (before - 1) // 2, (lengths - 1) // 2, uniform[:, 0])
    ends = _rounded(drawn[:, 1], boundaries, (lengths - 1) // 2, (gaps - 1) // 2, uniform[:, 1])
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def keep_whole(
    spans: list[tuple[int, int]], blocks: np.ndarray, *, seed: int, document_id: str
) -> list[tuple[int, int]]:
    """`spans` that cut none of `blocks` (words that are read as one: int [n, 2], half-open, in order, not touching).

    An end inside a block goes to the block's first or last end, with the probability that keeps its mean where it is.
    One draw decides for all ends in a block, so that spans keep their order, and the expected number of spoken words is
    that of `spans`. A span inside a block becomes the block or nothing; two spans that come to touch become one. So a
    document of one block is all speech or all text.
    """
    bounds = np.array(spans, dtype=np.int64).ravel()
    nearest = np.maximum(np.searchsorted(blocks[:, 0], bounds, side="right") - 1, 0)
    first, last = blocks[nearest].T if len(blocks) else (bounds, bounds)
    inside = (first < bounds) & (bounds < last)
    if not inside.any():
        return spans
    uniform = _Draws(seed, f"{document_id}\0blocks").uniform(len(blocks))[nearest]
    whole = np.where(uniform * (last - first) < bounds - first, last, first)
    starts, ends = np.where(inside, whole, bounds).reshape(-1, 2).T
    starts, ends = starts[starts < ends], ends[starts < ends]
    apart = starts[1:] > ends[:-1]
    starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _rounded(
    places: np.ndarray, boundaries: np.ndarray, below: np.ndarray, above: np.ndarray, uniform: np.ndarray
) -> np.ndarray:
    """`places` moved down by at most `below` or up by at most `above` to a boundary, unbiased; else left: int64 [n]."""
    lower = boundaries[np.searchsorted(boundaries, places, side="right") - 1]
    upper = boundaries[np.minimum(np.searchsorted(boundaries, places, side="left"), len(boundaries) - 1)]
    may = (places - lower <= np.minimum(below, MAX_SNAP)) & (upper - places <= np.minimum(above, MAX_SNAP))
    rounded = np.where(uniform * (upper - lower) < places - lower, upper, lower)
    return np.where(may, rounded, places)


def check_span_settings(ratio: float, mean_length: float) -> None:
    """The rules of `sample_spans`' settings, as ValueError."""
    if not 0.0 < ratio <= MAX_RATIO:
        raise ValueError(
            f"ratio={ratio} must be above 0 and at most {MAX_RATIO}: spans may not touch; the paper uses 0.3"
        )
    if not 1.0 <= mean_length <= 1e6:
        raise ValueError(
            f"mean_length={mean_length} must be at least 1 word (and at most a million); the paper uses 10"
        )


class _Draws:
    """Uniform 64-bit numbers of one document: Philox keyed by sha256 of (seed, document id)."""

    def __init__(self, seed: int, document_id: str) -> None:
        self._philox = np.random.Philox(key=sha256_number(f"{seed}\0{document_id}", num_bytes=16))

    def bits(self, count: int) -> np.ndarray:
        """uint64 [count]."""
        return self._philox.random_raw(count)

    def uniform(self, count: int) -> np.ndarray:
        """float64 [count] in [0, 1): the upper 53 bits."""
        return unit_interval(self.bits(count))


def _draw_lengths(draws: _Draws, num_words: int, ratio: float, mean_length: float) -> np.ndarray:
    """Lengths int64 [k] whose expected sum is `ratio * num_words`."""
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
    crossing = int(ends.searchsorted(target))
    if crossing == 0:
        return np.array([length] if (length := math.floor(target + keep)) else [], dtype=np.int64)
    whole, missing = lengths[:crossing], target - ends[crossing - 1]
    room = num_words - int(ends[crossing - 1]) - crossing  # one text word after every earlier span
    length = min(int(lengths[crossing]), -(-num_words // 2), room)
    assert missing <= length, f"{missing=} {length=}: cannot happen while ratio <= {MAX_RATIO}"
    return np.append(whole, length) if keep * length < missing else whole


def _poisson(uniform: np.ndarray, mean: float) -> np.ndarray:
    """Poisson lengths without zero, by inversion: int64, the shape of `uniform`."""
    return 1 + _cumulative(mean).searchsorted(uniform, side="right")


@lru_cache(maxsize=8)
def _cumulative(mean: float) -> np.ndarray:
    """P(length <= 1), P(length <= 2), ... of a Poisson length that is not zero; the last is 1 up to 1e-18."""
    lengths = np.arange(1, int(mean + 12.0 * math.sqrt(mean)) + 24)
    log_probabilities = lengths * math.log(mean) - mean - np.array([math.lgamma(n + 1.0) for n in lengths])
    return np.cumsum(np.exp(log_probabilities)) / -math.expm1(-mean)


def length_probabilities(mean_length: float, largest: int) -> np.ndarray:
    """P(length = 1..largest) of the drawn lengths, float64 [largest]: the curve to lay over a histogram."""
    cumulative = np.append(_cumulative(mean_length), np.ones(largest))
    return np.diff(cumulative[:largest], prepend=0.0)


def _place(draws: _Draws, num_words: int, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Uniform among all orders and all non-touching places: starts and lengths, both int64 [k], from left to right.

    A placement is the number of text words before each span. Spans that may not touch have distinct numbers, so that
    placements are exactly the k-subsets of {0, ..., text words}: those with the k smallest of as many random keys.
    """
    num_spans, num_text = len(lengths), num_words - int(lengths.sum())
    if not num_spans:
        return lengths, lengths
    lengths = lengths[draws.bits(num_spans).argsort(kind="stable")]
    before = draws.bits(num_text + 1).argpartition(num_spans - 1)[:num_spans]
    before.sort()
    return before + lengths.cumsum() - lengths, lengths
