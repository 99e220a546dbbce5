"""Measures the time of finished steps, and estimates the time left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from megatron_speech.progress import duration

TRUST = 0.1
"""Weight of the prediction, as a share of the predicted total time."""


class Clock:
    """Time so far and time left. The time left needs a prediction, which finished steps correct."""

    def __init__(self, predicted: Mapping[str, float]) -> None:
        self.predicted = predicted
        self.slowness = 1.0
        """Ratio of expected to predicted time on this machine, from a probe."""
        self.measured: dict[str, float] = {}
        """Seconds of each finished step, also from earlier calls."""
        self.start = time.monotonic()

    def read(self, timings: Path) -> None:
        """Read the times of earlier calls. A repeated step was skipped, so its longest time counts."""
        for line in timings.read_text().splitlines() if timings.is_file() else []:
            entry = json.loads(line)
            self.measured[entry["step"]] = max(entry["seconds"], self.measured.get(entry["step"], 0.0))

    def left(self, names: Iterable[str]) -> float:
        """Estimated seconds of the steps `names`, without finished ones."""
        known = [name for name in self.measured if self.predicted.get(name)]
        trust = TRUST * sum(self.predicted.values())
        measured = self.slowness * trust + sum(self.measured[name] for name in known)
        rate = measured / (trust + sum(self.predicted[name] for name in known))
        return rate * sum(self.predicted.get(name, 0.0) for name in set(names) - self.measured.keys())

    def sentence(self, names: Iterable[str]) -> str:
        """Progress for a log line: `3 min so far, about 17 min left`."""
        so_far = f"{duration(time.monotonic() - self.start)} so far"
        return f"{so_far}, about {duration(self.left(names))} left" if self.predicted else so_far
