"""How large a difference between two models can be seen with a number of items, and the other way round.

Items that just one model gets right are discordant. A comparison sees a difference if McNemar's test, of 5 %, tells it
in 80 % of all cases (normal approximation).

>>> items_needed(0.05, discordant=0.2), items_needed(0.01, discordant=0.4)
(626, 31395)
>>> round(smallest_difference(300, discordant=0.2), 3)
0.072
"""

from __future__ import annotations

import math

from scipy import optimize, stats

POWER = 0.8
LEVEL = 0.05
DISCORDANT = (0.2, 0.4)
"""Usual shares of discordant items, of similar and of different models."""


def items_needed(difference: float, *, discordant: float) -> int:
    """Items on which a difference in accuracy (a fraction) is seen."""
    assert 0 < difference <= discordant <= 1, f"{difference=} cannot exceed {discordant=}"
    return math.ceil(_items(difference, discordant))


def smallest_difference(items: int, *, discordant: float) -> float:
    """Smallest difference in accuracy (a fraction) that is seen on so many items; `discordant` if none is."""
    if _items(discordant, discordant) >= items:
        return discordant
    return float(optimize.brentq(lambda difference: _items(difference, discordant) - items, 1e-6, discordant))


def _items(difference: float, discordant: float) -> float:
    test, power = stats.norm.ppf(1 - LEVEL / 2), stats.norm.ppf(POWER)
    spread = test * math.sqrt(discordant) + power * math.sqrt(discordant - difference**2)
    return float((spread / difference) ** 2)
