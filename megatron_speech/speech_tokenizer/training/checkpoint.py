"""Saves and loads checkpoints of a training: weights with codebook averages, optimizer state and `RunState`.

Order, dropout, augmentation and restarts are functions of the seed and the step, so no random state is saved. On a CPU
a resumed run gives the same bits as an uninterrupted one. CUDA adds the codebook's sums and some gradients in varying
order. Cost: rank 0 writes while the other ranks wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from megatron_speech.artifacts.facts.speech_tokenizer import CurvePoint, PlacedCodebook
from megatron_speech.artifacts.files import naming_file, read_json, write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.checkpoint.checksums import checksums, read_checksums, verify_file, write_checksums
from megatron_speech.checkpoint.finite import moments, require_all_finite
from megatron_speech.checkpoint.folder import begin, complete, keep_newest, latest_checkpoint, step_folder
from megatron_speech.parallel.agree import on_rank_zero
from megatron_speech.speech_tokenizer.training.order import Cursor
from megatron_speech.speech_tokenizer.training.step import Trainer

KEPT = 2
WEIGHTS, OPTIMIZER, CODEBOOK, STATE = "model.safetensors", "optimizer.pt", "codebook.safetensors", "state.json"


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
    """Write ``step_<n>`` under `checkpoints` and delete all but the newest two. Collective.

    Raises FloatingPointError on all ranks, before anything is written, if a weight or an Adam moment is not finite.
    """

    def write() -> None:
        folder = step_folder(checkpoints, state.step)
        _require_finite(trainer, state.step)
        partial = begin(folder)
        weights = {name: value.detach().cpu().contiguous() for name, value in trainer.model.state_dict().items()}
        with naming_file(partial / WEIGHTS):
            save_file(weights, partial / WEIGHTS)
        with naming_file(partial / OPTIMIZER), (partial / OPTIMIZER).open("wb") as file:
            torch.save(trainer.optimizer.state_dict(), file)
        with naming_file(partial / CODEBOOK):
            save_file({"idle": trainer.ema.idle_K.cpu()}, partial / CODEBOOK)
        write_atomic(partial / STATE, to_json(state.to_json()) + "\n")
        write_checksums(partial, checksums(sorted(partial.iterdir())))
        complete(partial)
        keep_newest(checkpoints, KEPT)

    on_rank_zero(write)


def _require_finite(trainer: Trainer, step: int) -> None:
    try:
        require_all_finite([*trainer.model.state_dict().items(), *moments(trainer.optimizer.state)])
    except FloatingPointError as error:
        raise FloatingPointError(
            f"step {step}: after its update {error}, and nothing of it was saved; begin anew, in another folder, with "
            f"less than learning_rate={trainer.config.learning_rate}"
        ) from error


def newest(checkpoints: Path) -> Path | None:
    """Folder of the newest checkpoint, or None; ValueError if a file of it is damaged. Collective."""

    def find() -> Path | None:
        folder = latest_checkpoint(checkpoints)
        if folder is None:
            return None
        sums = read_checksums(folder, needed=(WEIGHTS, OPTIMIZER, CODEBOOK, STATE))
        for name in sums:
            verify_file(folder / name, sums)
        return folder

    return on_rank_zero(find)


def read_state(folder: Path) -> RunState:
    """Read the progress in a checkpoint."""
    return RunState.from_json(read_json(folder / STATE))


def load_weights(folder: Path, model: torch.nn.Module) -> None:
    """Load a checkpoint's weights and codebook averages into `model`."""
    model.load_state_dict(load_file(folder / WEIGHTS))


def load_trainer(folder: Path, trainer: Trainer) -> None:
    """Load a checkpoint's optimizer state and the idle counts of its codes; executes no pickled code."""
    # Loaded on the CPU: torch moves the moments to their parameters, and wants the step counts on the CPU.
    trainer.optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True, map_location="cpu"))
    trainer.ema.idle_K.copy_(load_file(folder / CODEBOOK)["idle"])
