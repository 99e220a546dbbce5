"""Saves and loads checkpoints of a training: weights with codebook averages, optimizer state and `RunState`.

`speech_training.checkpoint` says what a resumed run gives. CUDA adds the codebook's sums and some gradients in varying
order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from megatron_speech.artifacts.facts.speech_tokenizer import CurvePoint, PlacedCodebook
from megatron_speech.speech_tokenizer.training.step import Trainer
from megatron_speech.speech_training.checkpoint import load_optimizer, newest_checkpoint, read_state, save_checkpoint
from megatron_speech.speech_training.order import Cursor

CODEBOOK = "codebook.safetensors"


@dataclass(kw_only=True)
class RunState:
    """Progress of a run: ``state.json`` of its checkpoints."""

    step: int = 0
    """Number of finished steps."""
    cursor: Cursor = field(default_factory=Cursor)
    """Place of the next batch in the order."""
    drawn: dict[str, int] = field(default_factory=dict)
    """Number of utterances trained on, by source, with repetitions."""
    restarted: int = 0
    """Number of restarts of dead codes."""
    start: PlacedCodebook = field(default_factory=PlacedCodebook)
    """How the codebook was initialised."""
    curve: list[CurvePoint] = field(default_factory=list)
    """Points of the loss curve."""
    error_rates: list[dict[str, float]] = field(default_factory=list)
    """Word error rates from codes, by step."""
    error_rates_without_bottleneck: dict[str, float] = field(default_factory=dict)
    """Word error rates of the Whisper model, by validation set."""

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON types."""
        return {**asdict(self), "start": self.start.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunState:
        """Inverse of `to_json`."""
        curve = [CurvePoint.from_json(point) for point in values["curve"]]
        start = PlacedCodebook.from_json(values["start"])
        return cls(**{**values, "cursor": Cursor(**values["cursor"]), "start": start, "curve": curve})


def save(checkpoints: Path, trainer: Trainer, state: RunState) -> None:
    """Write ``step_<n>`` under `checkpoints`; see `save_checkpoint`. Collective."""
    save_checkpoint(
        checkpoints,
        state.step,
        model=trainer.model,
        optimizer=trainer.optimizer,
        state=state.to_json(),
        learning_rate=trainer.config.learning_rate,
        tensors={CODEBOOK: {"idle": trainer.ema.idle_K}},
    )


def newest(checkpoints: Path) -> Path | None:
    """Folder of the newest checkpoint, or None; ValueError if a file of it is damaged. Collective."""
    return newest_checkpoint(checkpoints, needed=(CODEBOOK,))


def read_progress(folder: Path) -> RunState:
    """Read the progress in a checkpoint."""
    return RunState.from_json(read_state(folder))


def load_trainer(folder: Path, trainer: Trainer) -> None:
    """Load a checkpoint's optimizer state and the idle counts of its codes; executes no pickled code."""
    load_optimizer(folder, trainer.optimizer)
    trainer.ema.idle_K.copy_(load_file(folder / CODEBOOK)["idle"])
