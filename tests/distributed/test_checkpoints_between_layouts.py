"""A checkpoint is one global state: each layout reads one rank's and writes its own, and the next step is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint.distributed.save_load import load_checkpoint, save_checkpoint
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.model.initialization import global_parameters, shard
from megatron_speech.parallel import groups
from tests.distributed.engine import VOCABULARY, Engine, use_small_buckets
from tests.distributed.layouts import LAYOUTS, MODELS, start
from tests.ranks import run_ranks

RELATIVE = 1e-5
MODEL = MODELS["untied, biased, normed"]
OF_FOUR_RANKS = {
    False: [
        "tensor 4 + sequence, 2 key-value groups",
        "tensor 2 x context 2 + sequence",
        "pipeline 2 x virtual 2 x context 2, uneven + recompute",
    ],
    True: [
        "context 2 x data 2 + sharded optimizer",
        "pipeline 2 x virtual 2 x data 2 + sharded optimizer, overlapped",
    ],
}


@pytest.mark.parametrize("sharded", [False, True], ids=["plain optimizer", "sharded optimizer"])
def test_the_step_after_a_checkpoint_is_the_same_in_every_layout(tmp_path: Path, sharded: bool) -> None:
    run_ranks(_write_truth, 1, tmp_path, sharded)
    run_ranks(_through_layouts, 4, tmp_path, OF_FOUR_RANKS[sharded], timeout=300)
    run_ranks(_read_back, 1, tmp_path, OF_FOUR_RANKS[sharded], sharded)


def _write_truth(rank: int, world_size: int, init_method: str, folder: Path, sharded: bool) -> None:
    """Two steps, a checkpoint, and what a third step leaves."""
    settings = {"use_distributed_optimizer": sharded}
    parallel = start(settings, rank=rank, world_size=world_size, init_method=init_method)
    engine = Engine(parallel, MODEL)
    for _ in range(2):
        engine.gradients()
        engine.step()
    _save(folder / "one rank", engine, parallel)
    losses, norm = engine.gradients(), torch.tensor(engine.step())
    weights = {name: weight.detach().clone() for name, weight in global_parameters(engine.bare[0])}
    save_file({**weights, "losses": losses, "norm": norm}, folder / "truth.safetensors")


def _through_layouts(rank: int, world_size: int, init_method: str, folder: Path, names: list[str]) -> None:
    """Each layout loads the one rank's checkpoint, saves it as its own, and takes the third step."""
    use_small_buckets()
    for number, name in enumerate(names):
        settings = LAYOUTS[world_size][name]
        parallel = start(settings, rank=rank, world_size=world_size, init_method=f"{init_method}-{number}")
        engine = Engine(parallel, MODEL)
        _load(folder / "one rank", engine, parallel)
        _save(folder / name, engine, parallel)
        _check_third_step(name, engine, folder)
        _save(folder / f"{name}, third", engine, parallel)
        groups.shutdown()


def _read_back(rank: int, world_size: int, init_method: str, folder: Path, names: list[str], sharded: bool) -> None:
    """One rank goes on from each layout's checkpoints."""
    settings = {"use_distributed_optimizer": sharded}
    parallel = start(settings, rank=rank, world_size=world_size, init_method=init_method)
    engine = Engine(parallel, MODEL)
    for name in names:
        _load(folder / name, engine, parallel)
        _check_third_step(f"back from {name}", engine, folder)
        _load(folder / f"{name}, third", engine, parallel)
        _check_parameters(f"third step of {name}", engine, folder)


def _save(folder: Path, engine: Engine, parallel: ParallelConfig) -> None:
    state = CheckpointState(step=0)
    save_checkpoint(folder, chunks=engine.chunks, optimizer=engine.optimizer, state=state, **_facts(parallel))


def _load(folder: Path, engine: Engine, parallel: ParallelConfig) -> None:
    load_checkpoint(folder, chunks=engine.chunks, optimizer=engine.optimizer, **_facts(parallel))


def _facts(parallel: ParallelConfig) -> dict[str, Any]:
    return {"model": MODEL, "vocabulary": VOCABULARY, "parallel": parallel}


def _check_third_step(name: str, engine: Engine, folder: Path) -> None:
    truth = load_file(folder / "truth.safetensors")
    _close(f"{name}: losses", engine.gradients(), truth["losses"])
    _close(f"{name}: norm", torch.tensor(engine.step()), truth["norm"])
    engine.gradients()  # its forward pass also gathers what is gathered late
    _check_parameters(name, engine, folder)


def _check_parameters(name: str, engine: Engine, folder: Path) -> None:
    truth = load_file(folder / "truth.safetensors")
    for chunk in engine.bare:
        for which, weight in global_parameters(chunk):
            _close(f"{name}: {which}", weight.detach(), shard(truth[which], weight, name=which))


def _close(name: str, found: torch.Tensor, wanted: torch.Tensor) -> None:
    error = float((found - wanted).norm() / wanted.norm())
    assert error <= RELATIVE, f"{name}: relative error {error:.2e}"
