"""Progress of a run: four counters, which determine the next rows and the learning rate."""

from __future__ import annotations

from dataclasses import dataclass, fields

from megatron_speech.artifacts.facts.checkpoint import CheckpointState


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Counts since the first step of the run, across restarts."""

    step: int = 0
    """Optimizer steps done."""
    consumed_samples: int = 0
    """Packed rows read; also the sample number of the next row in the plan."""
    text_tokens: int = 0
    """Text targets trained on (weight above 0)."""
    speech_tokens: int = 0
    """Speech targets trained on (weight above 0)."""

    @property
    def trained_tokens(self) -> int:
        """Targets trained on, of both modalities."""
        return self.text_tokens + self.speech_tokens

    def after(self, *, samples: int, text_tokens: int, speech_tokens: int) -> TrainState:
        """The state after one more step."""
        return TrainState(
            step=self.step + 1,
            consumed_samples=self.consumed_samples + samples,
            text_tokens=self.text_tokens + text_tokens,
            speech_tokens=self.speech_tokens + speech_tokens,
        )

    @classmethod
    def saved_in(cls, saved: CheckpointState) -> TrainState:
        """The counts in the state of a checkpoint with all of them."""
        counts = {field.name: getattr(saved, field.name) for field in fields(cls)}
        assert None not in counts.values(), f"{saved} is of weights alone"
        return cls(**counts)
