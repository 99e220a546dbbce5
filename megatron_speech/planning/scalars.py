"""The one fitted number per stack and precision, and intervals from what the fit gets wrong elsewhere.

The scalar is the factor between predicted and measured throughput. It is a median of medians, so that neither a shape
with many rows nor a bad release decides. A stack with few shapes leans on its family: its median counts as many times
as it has shapes, the family's counts `PRIOR` times.

An interval spans the middle 90 % of the errors on shapes that were left out of the fit, one group after another.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from megatron_speech.planning.stacks import stack, stack_names

PRIOR = 4.0
"""Shapes that the family's median weighs."""
ENOUGH_GROUPS = 6
"""Groups that a stack needs for an interval of its own."""
COVERAGE = 0.90


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One published row: how far the unfitted prediction lies from it."""

    stack: str
    precision: str
    group: str
    """Stack and shape: what is left out together."""
    architecture: str
    log_ratio: float
    """log of measured over predicted throughput."""


@dataclass(frozen=True)
class Scalars:
    """Fitted factors by stack and precision, with one for any other stack, and the errors of left-out groups."""

    factors: dict[str, dict[str, float]]
    """Measured over predicted throughput by stack, then precision."""
    errors: dict[str, tuple[float, float]]
    """Quantiles of measured over predicted by stack, and of all rows under "any"."""

    def factor(self, stack_name: str, precision: str) -> float:
        """Factor on the predicted throughput."""
        return self.factors[stack_name][precision]

    def interval(self, stack_name: str) -> tuple[float, float]:
        """Factors from a prediction to the ends of its 90 % interval."""
        return self.errors.get(stack_name, self.errors["any"])


def fit(observations: Sequence[Observation]) -> dict[str, dict[str, float]]:
    """Factors of every known stack and precision."""
    cells: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in observations:
        cells[each.stack, each.precision][each.group, each.architecture].append(each.log_ratio)
    medians = {key: [statistics.median(values) for values in groups.values()] for key, groups in cells.items()}
    return {
        name: {
            precision: math.exp(_pooled(medians, name, precision)) for precision in ("bf16", "fp8", "mxfp8", "nvfp4")
        }
        for name in stack_names()
    }


def _pooled(medians: dict[tuple[str, str], list[float]], name: str, precision: str) -> float:
    """Median of the stack's shapes, drawn towards the smallest wider set that has two shapes."""
    family = stack(name).family

    def of(wanted: Callable[[str, str], bool]) -> list[float]:
        return [value for (other, kind), values in medians.items() if wanted(other, kind) for value in values]

    wider: Iterable[list[float]] = (
        of(lambda other, kind: stack(other).family == family and kind == precision),
        of(lambda other, kind: stack(other).family == family),
        of(lambda other, kind: True),
    )
    prior = statistics.median(next((values for values in wider if len(values) >= 2), [0.0]))
    own = medians.get((name, precision), [])
    return (len(own) * statistics.median(own) + PRIOR * prior) / (len(own) + PRIOR) if own else prior


def left_out_errors(
    observations: Sequence[Observation], by: Callable[[Observation], str]
) -> list[tuple[Observation, float]]:
    """Every observation with measured over predicted throughput, fitted without all that share its `by`."""
    found = []
    for name in sorted({by(each) for each in observations}):
        factors = fit([each for each in observations if by(each) != name])
        found += [
            (each, math.exp(each.log_ratio) / factors[each.stack][each.precision])
            for each in observations
            if by(each) == name
        ]
    return found


def quantiles(errors: Sequence[tuple[Observation, float]]) -> dict[str, tuple[float, float]]:
    """Ends of the middle 90 % of the errors, of all rows and of every stack with many shapes.

    Every group weighs the same, however many rows it has.
    """
    by_stack: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each, error in errors:
        by_stack[each.stack][each.group].append(error)
        by_stack["any"][each.group].append(error)
    return {
        name: _middle(list(groups.values()))
        for name, groups in by_stack.items()
        if name == "any" or len(groups) >= ENOUGH_GROUPS
    }


def _middle(groups: list[list[float]]) -> tuple[float, float]:
    weighted = sorted((value, 1 / len(group) / len(groups)) for group in groups for value in group)
    tail = (1 - COVERAGE) / 2
    return _until(weighted, tail), _until(weighted[::-1], tail)


def _until(weighted: Sequence[tuple[float, float]], tail: float) -> float:
    """Last value before the weights reach `tail`, so that the interval is rather too wide."""
    passed, last = 0.0, weighted[0][0]
    for value, weight in weighted:
        passed += weight
        if passed > tail:
            return last
        last = value
    return last


@cache
def scalars() -> Scalars:
    """The scalars that travel with the package, fitted on all published rows."""
    found = json.loads((files("megatron_speech.planning") / "data" / "scalars.json").read_text())
    return Scalars(found["factors"], {name: (low, high) for name, (low, high) in found["errors"].items()})
