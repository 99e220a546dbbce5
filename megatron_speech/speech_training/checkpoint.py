"""Saves and finds checkpoints of a training: weights, optimizer state, progress, and what else it names.

Order, dropout and augmentation are functions of the seed and the step, so no random state is saved. On a CPU a resumed
run gives the same bits as an uninterrupted one. Cost: rank 0 writes while the other ranks wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from megatron_speech.artifacts.files import naming_file, read_json, write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.checkpoint.checksums import checksums, read_checksums, verify_file, write_checksums
from megatron_speech.checkpoint.finite import moments, require_all_finite
from megatron_speech.checkpoint.folder import begin, complete, keep_newest, latest_checkpoint, step_folder
from megatron_speech.parallel.agree import on_rank_zero

KEPT = 2
WEIGHTS, OPTIMIZER, STATE = "model.safetensors", "optimizer.pt", "state.json"


def save_checkpoint(
    checkpoints: Path,
    step: int,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    learning_rate: float,
    tensors: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> None:
    """Write ``step_<n>`` under `checkpoints` and delete all but the newest two. Collective.

    `tensors` are further files by name. Raises FloatingPointError on all ranks, before anything is written, if a weight
    or an Adam moment is not finite.
    """

    def write() -> None:
        _require_finite(model, optimizer, step, learning_rate)
        partial = begin(step_folder(checkpoints, step))
        weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        with naming_file(partial / WEIGHTS):
            save_file(weights, partial / WEIGHTS)
        with naming_file(partial / OPTIMIZER), (partial / OPTIMIZER).open("wb") as file:
            torch.save(optimizer.state_dict(), file)
        for name, values in (tensors or {}).items():
            with naming_file(partial / name):
                save_file({key: value.cpu() for key, value in values.items()}, partial / name)
        write_atomic(partial / STATE, to_json(state) + "\n")
        write_checksums(partial, checksums(sorted(partial.iterdir())))
        complete(partial)
        keep_newest(checkpoints, KEPT)

    on_rank_zero(write)


def _require_finite(model: nn.Module, optimizer: torch.optim.Optimizer, step: int, learning_rate: float) -> None:
    try:
        require_all_finite([*model.state_dict().items(), *moments(optimizer.state)])
    except FloatingPointError as error:
        raise FloatingPointError(
            f"step {step}: after its update {error}, and nothing of it was saved; begin anew, in another folder, with "
            f"less than learning_rate={learning_rate}"
        ) from error


def newest_checkpoint(checkpoints: Path, *, needed: tuple[str, ...] = ()) -> Path | None:
    """Folder of the newest checkpoint, or None; ValueError if a file of it is damaged. Collective.

    `needed` are the names of its further files.
    """

    def find() -> Path | None:
        folder = latest_checkpoint(checkpoints)
        if folder is None:
            return None
        sums = read_checksums(folder, needed=(WEIGHTS, OPTIMIZER, *needed, STATE))
        for name in sums:
            verify_file(folder / name, sums)
        return folder

    return on_rank_zero(find)


def read_state(folder: Path) -> Any:
    """Read the progress in a checkpoint."""
    return read_json(folder / STATE)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Load a checkpoint's weights into `model`."""
    model.load_state_dict(load_file(folder / WEIGHTS))


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Load a checkpoint's optimizer state; executes no pickled code."""
    # Loaded on the CPU: torch moves the moments to their parameters, and wants the step counts on the CPU.
    optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True, map_location="cpu"))
