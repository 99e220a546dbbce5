"""Learning rates as pure functions of a run's progress, so that resuming needs no schedule state.

Each schedule is a linear warm-up, then a decay. They count different things and round in different order. They are not
merged, because a change of the last bit of a rate would change trainings.

>>> [rate_by_start(step, warmup=2, total=4, peak=1.0, last_share=0.0) for step in range(4)]
[0.5, 1.0, 1.0, 0.5]
"""

from __future__ import annotations

import math
from typing import Literal

Decay = Literal["constant", "linear", "cosine"]


def rate_by_end(upto: int, *, warmup: int, total: int, peak: float, last: float, decay: Decay) -> float:
    """Learning rate of the step that ends at sample `upto` of `total`: warm-up to `peak`, then a decay to `last`.

    `upto` includes the step's own samples. So the first rate is above 0, and the last one is `last`.
    """
    if upto < warmup:
        return peak * upto / warmup
    if decay == "constant":
        return peak
    progress = _progress(upto, warmup, total)
    share = 1 - progress if decay == "linear" else _half_cosine(math.pi * progress)
    return last + (peak - last) * share


def rate_by_start(step: int, *, warmup: int, total: int, peak: float, last_share: float) -> float:
    """Learning rate of step `step` (from 0) of `total`: warm-up to `peak`, then a cosine towards `last_share` of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (last_share + (1 - last_share) * _half_cosine(math.pi * _progress(step, warmup, total)))


def factor_by_start(step: int, *, warmup: int, total: int) -> float:
    """As `rate_by_start` with a peak of 1 and a last share of 0, except for the rounding of the cosine's angle."""
    if step < warmup:
        return (step + 1) / warmup
    return _half_cosine(math.pi * (step - warmup) / max(1, total - warmup))


def _progress(position: int, warmup: int, total: int) -> float:
    """Finished share of the decay: 0 after the warm-up, 1 at `total`."""
    return (position - warmup) / max(total - warmup, 1)


def _half_cosine(angle: float) -> float:
    """Half a period of a cosine: 1 at an angle of 0, 0 at pi."""
    return 0.5 * (1 + math.cos(angle))
