"""Learning rates as pure functions of how far a run is, so that resuming needs no schedule state.

Each is a linear warm-up followed by a decay. They differ in what they count and in the order of their roundings: a rate
that changed by its last bit would change every training that used it.
"""

from __future__ import annotations

import math
from typing import Literal

Decay = Literal["constant", "linear", "cosine"]


def rate_by_end(upto: int, *, warmup: int, total: int, peak: float, last: float, decay: Decay) -> float:
    """Rate of the step that ends `upto` samples into a run of `total`, from `peak` down to `last`.

    A step counts with its own samples: the first one already learns, and the last one reaches `last`.
    """
    if upto < warmup:
        return peak * upto / warmup
    if decay == "constant":
        return peak
    progress = _progress(upto, warmup, total)
    share = 1 - progress if decay == "linear" else _half_cosine(math.pi * progress)
    return last + (peak - last) * share


def rate_by_start(step: int, *, warmup: int, total: int, peak: float, last_share: float) -> float:
    """Rate of step number `step` (from 0) of `total`: a cosine from `peak` towards `last_share` of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (last_share + (1 - last_share) * _half_cosine(math.pi * _progress(step, warmup, total)))


def factor_by_start(step: int, *, warmup: int, total: int) -> float:
    """As `rate_by_start` with a peak of 1 and a last share of 0, but for the rounding of the cosine's angle."""
    if step < warmup:
        return (step + 1) / warmup
    return _half_cosine(math.pi * (step - warmup) / max(1, total - warmup))


def _progress(position: int, warmup: int, total: int) -> float:
    """Share of the decay that is done: 0 after the warm-up, 1 at `total`."""
    return (position - warmup) / max(total - warmup, 1)


def _half_cosine(angle: float) -> float:
    """1 at an angle of 0, 0 at pi."""
    return 0.5 * (1 + math.cos(angle))
