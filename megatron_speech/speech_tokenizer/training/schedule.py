"""The learning rate of a step, and the loss curve of the manifest."""

from __future__ import annotations

from typing import Any

from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.schedules import rate_by_start

FINAL_LR_SHARE = 0.05
"""Last learning rate, as a share of the peak."""
CURVE_POINTS = 100
"""Maximum number of points of the loss curve."""


def learning_rate(step: int, config: TrainSpeechTokenizerConfig) -> float:
    """Learning rate of `step` (from 0): a linear warm-up, then a cosine down to `FINAL_LR_SHARE` of the peak."""
    return rate_by_start(
        step,
        warmup=config.warmup_steps,
        total=config.steps,
        peak=config.learning_rate,
        last_share=FINAL_LR_SHARE,
    )


class Curve:
    """A loss curve of at most `CURVE_POINTS` points, each the mean of consecutive steps."""

    def __init__(self, steps: int, points: list[dict[str, Any]]) -> None:
        self._size = -(-steps // CURVE_POINTS)
        self.points = points
        """Points as plain JSON: last step and running means. The list is extended in place."""

    def add(self, step: int, **values: float) -> None:
        """Add the values of `step`, which counts from 1."""
        if (step - 1) % self._size == 0:
            self.points.append({"step": step, **dict.fromkeys(values, 0.0)})
        point = self.points[-1]
        # A running mean, so that the points are valid after every step.
        count = (step - 1) % self._size + 1
        for name, value in values.items():
            point[name] += (value - point[name]) / count
        point["step"] = step

    def rounded(self) -> list[dict[str, Any]]:
        """Points with values rounded for the manifest."""
        return [{name: value if name == "step" else round(value, 4) for name, value in p.items()} for p in self.points]
