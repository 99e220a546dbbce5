"""The learning rate of a step, and the loss curve of the manifest."""

from __future__ import annotations

from dataclasses import replace

from megatron_speech.artifacts.facts.speech_tokenizer import CurvePoint
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

    def __init__(self, steps: int, points: list[CurvePoint]) -> None:
        self._size = -(-steps // CURVE_POINTS)
        self.points = points
        """Points with running means. The list is extended in place."""

    def add(self, step: int, *, cross_entropy: float, commitment: float) -> None:
        """Add the losses of `step`, which counts from 1."""
        if (step - 1) % self._size == 0:
            self.points.append(CurvePoint(step=step, cross_entropy=0.0, commitment=0.0))
        mean = self.points[-1]
        # A running mean, so that the points are valid after every step.
        count = (step - 1) % self._size + 1
        self.points[-1] = CurvePoint(
            step=step,
            cross_entropy=mean.cross_entropy + (cross_entropy - mean.cross_entropy) / count,
            commitment=mean.commitment + (commitment - mean.commitment) / count,
        )

    def rounded(self) -> tuple[CurvePoint, ...]:
        """Points with losses rounded for the manifest."""
        return tuple(
            replace(point, cross_entropy=round(point.cross_entropy, 4), commitment=round(point.commitment, 4))
            for point in self.points
        )
