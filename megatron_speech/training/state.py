"""Where a run stands: a few numbers, because the data order and the schedule are functions of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Counts since the first step of the run, through any number of restarts."""

    step: int = 0
    """Optimizer steps done."""
    consumed_samples: int = 0
    """Packed rows read: the next sample number of the plan."""
    text_tokens: int = 0
    """Text targets that bore loss."""
    speech_tokens: int = 0
    """Speech targets that bore loss."""

    def after(self, *, samples: int, text_tokens: int, speech_tokens: int) -> TrainState:
        """The state after one more step."""
        return TrainState(
            step=self.step + 1,
            consumed_samples=self.consumed_samples + samples,
            text_tokens=self.text_tokens + text_tokens,
            speech_tokens=self.speech_tokens + speech_tokens,
        )

    def to_json(self) -> dict[str, Any]:
        """All fields, for a checkpoint's state.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainState:
        """Inverse of `to_json`; other keys are ignored, a missing one is a TypeError of the caller's file."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})
