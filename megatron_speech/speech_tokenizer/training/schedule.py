"""How fast to learn at a step, and the loss curve that the manifest keeps."""

from __future__ import annotations

from typing import Any

from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.schedules import rate_by_start

FINAL_LR_SHARE = 0.05
"""Share of the peak learning rate that the cosine ends at."""
CURVE_POINTS = 100
"""Points of the loss curve."""


def learning_rate(step: int, config: TrainSpeechTokenizerConfig) -> float:
    """Linear warm-up, then a cosine from the peak to `FINAL_LR_SHARE` of it at the last step."""
    return rate_by_start(
        step,
        warmup=config.warmup_steps,
        total=config.steps,
        peak=config.learning_rate,
        last_share=FINAL_LR_SHARE,
    )


class Curve:
    """Means of consecutive steps, at most `CURVE_POINTS` of them; plain JSON at any time."""

    def __init__(self, steps: int, points: list[dict[str, Any]]) -> None:
        self._size = -(-steps // CURVE_POINTS)
        self.points = points
        """With the last step of each, and sums while the last of them grows."""

    def add(self, step: int, **values: float) -> None:
        """Take the values of `step`, which counts from 1."""
        if (step - 1) % self._size == 0:
            self.points.append({"step": step, **dict.fromkeys(values, 0.0)})
        point = self.points[-1]
        # A running mean: what is kept is right after every step.
        count = (step - 1) % self._size + 1
        for name, value in values.items():
            point[name] += (value - point[name]) / count
        point["step"] = step

    def rounded(self) -> list[dict[str, Any]]:
        """The points as the manifest shows them."""
        return [{name: value if name == "step" else round(value, 4) for name, value in p.items()} for p in self.points]
