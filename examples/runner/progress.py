"""How far the work is, and about how long it still takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

TRUST = 0.1
"""The prediction counts as much as this share of the work, measured."""


class Clock:
    """Seconds so far and seconds left; the latter only with a prediction, corrected by the steps that are done."""

    def __init__(self, predicted: Mapping[str, float]) -> None:
        self.predicted = predicted
        self.slowness = 1.0
        """How many times as long as predicted the steps take here, by a probe."""
        self.measured: dict[str, float] = {}
        """Seconds of each step that is done, also of earlier calls."""
        self.start = time.monotonic()

    def read(self, timings: Path) -> None:
        """Take over what earlier calls measured. A repeated step only looked, so its longest time counts."""
        for line in timings.read_text().splitlines() if timings.is_file() else []:
            entry = json.loads(line)
            self.measured[entry["step"]] = max(entry["seconds"], self.measured.get(entry["step"], 0.0))

    def left(self, names: Iterable[str]) -> float:
        """Seconds that the steps of these names still take; those that are done take none."""
        known = [name for name in self.measured if self.predicted.get(name)]
        trust = TRUST * sum(self.predicted.values())
        measured = self.slowness * trust + sum(self.measured[name] for name in known)
        rate = measured / (trust + sum(self.predicted[name] for name in known))
        return rate * sum(self.predicted.get(name, 0.0) for name in set(names) - self.measured.keys())

    def sentence(self, names: Iterable[str]) -> str:
        """`3 min so far, about 17 min left`."""
        so_far = f"{duration(time.monotonic() - self.start)} so far"
        return f"{so_far}, about {duration(self.left(names))} left" if self.predicted else so_far


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
