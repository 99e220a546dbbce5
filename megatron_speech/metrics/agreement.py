"""How often two judges say the same, and how much of that is more than chance.

>>> first, second = ["right"] * 25 + ["wrong"] * 25, (["right"] * 20 + ["wrong"] * 5 + ["right"] * 10 + ["wrong"] * 15)
>>> share_of_agreement(first, second), round(cohen_kappa(first, second), 6)
(0.7, 0.4)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


def share_of_agreement(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Share of items on which two judges gave the same label."""
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa, unweighted: 1 is full agreement, 0 that of two judges who draw labels as often, but by chance.

    None if both gave one and the same label throughout: chance agrees fully, too.
    """
    counts, others, items = Counter(first), Counter(second), len(first)
    by_chance = sum(count * others[label] for label, count in counts.items()) / items**2
    return None if by_chance == 1 else (share_of_agreement(first, second) - by_chance) / (1 - by_chance)
