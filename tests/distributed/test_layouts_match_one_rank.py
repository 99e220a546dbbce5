"""Sharded equals unsharded: one process writes the truth, ranks in other layouts compare three steps with it.

Losses, every gradient and every parameter, each against its own norm. The weights need no file: they are a function of
the seed and the parameter's name (`model.initialization`), which the comparison would not survive if it were false.
Ranks run all layouts of their world size one after the other, because starting them costs more than the steps.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.model.initialization import global_parameters, shard
from megatron_speech.parallel import groups
from tests.distributed.engine import Engine, use_small_buckets
from tests.distributed.layouts import LAYOUTS, MODELS, SEQUENCE, SHARDED, start
from tests.ranks import run_ranks

RELATIVE = 1e-5  # float32, never widened
STEPS = 3
Worst = dict[str, tuple[float, str]]


@pytest.fixture(scope="module", params=list(MODELS))
def truth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelConfig, Path]:
    """A model, and what one process computes with it."""
    path = tmp_path_factory.mktemp("truth") / "one-rank.safetensors"
    run_ranks(_write_truth, 1, MODELS[request.param], path)
    return MODELS[request.param], path


@pytest.mark.parametrize("world_size", LAYOUTS)
def test_layouts_match_one_rank(world_size: int, truth: tuple[ModelConfig, Path], tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    try:
        run_ranks(_check_layouts, world_size, table, *truth, timeout=400)
    finally:
        print("", table.read_text() if table.exists() else "no layout finished", sep="\n")


@pytest.mark.parametrize("place", ["found", "wanted", "both"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_matches_nothing(monkeypatch: pytest.MonkeyPatch, value: float, place: str) -> None:
    good, bad = torch.ones(3), torch.full((3,), value)
    found, wanted = (bad if place in (name, "both") else good for name in ("found", "wanted"))
    monkeypatch.setattr(sys.modules[__name__], "_train", lambda _: [("norms", name, found, None) for name in "ab"])
    worst = _largest_errors(cast(Engine, None), {"norms a": wanted, "norms b": wanted})
    assert not worst["norms"][0] <= RELATIVE


def test_bfloat16_follows_float32(truth: tuple[ModelConfig, Path]) -> None:
    run_ranks(_check_bfloat16, 2, *truth)


def _write_truth(rank: int, world_size: int, init_method: str, model: ModelConfig, path: Path) -> None:
    parallel = start({}, rank=rank, world_size=world_size, init_method=init_method)
    save_file({f"{kind} {name}": found.clone() for kind, name, found, _ in _train(Engine(parallel, model))}, path)


def _check_layouts(rank: int, world_size: int, init_method: str, table: Path, model: ModelConfig, path: Path) -> None:
    """All layouts of a world; their errors become lines of `table`."""
    use_small_buckets()
    truth = load_file(path)
    failed = []
    for number, (name, settings) in enumerate(LAYOUTS[world_size].items()):
        parallel = start(settings, rank=rank, world_size=world_size, init_method=f"{init_method}-{number}")
        try:
            worst = _compare(Engine(parallel, model), truth)
        except Exception as error:
            raise AssertionError(f"layout {name!r}: {error}") from error
        groups.shutdown()
        line = f"{world_size} | {name:64}" + "".join(f" | {kind} {error:.1e}" for kind, (error, _) in worst.items())
        if rank == 0:
            table.write_text((table.read_text() if table.exists() else "") + line + "\n")
        failed += [f"{name}: {which}: {error:.2e}" for error, which in worst.values() if not error <= RELATIVE]
    assert not failed, "\n".join(failed)


def _train(engine: Engine) -> Iterator[tuple[str, str, torch.Tensor, torch.Tensor | None]]:
    """(kind, name, value, the parameter it belongs to) of everything that comes out of the steps, as it comes."""
    for step in range(STEPS):
        yield "losses", f"{step}", engine.gradients(), None
        for chunk in engine.bare:
            for name, weight in global_parameters(chunk):
                yield f"gradients {step}", name, weight.main_grad, weight
        yield "norms", f"{step}", torch.tensor(engine.step()), None
    yield "losses", "after", engine.gradients(), None  # its forward pass also gathers what is gathered late
    for chunk in engine.bare:
        for name, weight in global_parameters(chunk):
            yield "parameters", name, weight.detach(), weight


def _compare(engine: Engine, truth: dict[str, torch.Tensor]) -> Worst:
    """By kind, the largest relative error on any rank, and where."""
    worst = _largest_errors(engine, truth)
    everyone: list[Worst] = [{}] * dist.get_world_size()
    dist.all_gather_object(everyone, worst)
    return {kind: max(each[kind] for each in everyone) for kind in worst}


def _largest_errors(engine: Engine, truth: dict[str, torch.Tensor]) -> Worst:
    """By kind, the largest relative error on this rank, and where; infinite where a value is no number."""
    worst: Worst = {}
    for kind, name, found, weight in _train(engine):
        wanted = truth[f"{kind} {name}"]
        if weight is not None:
            wanted = shard(wanted, weight, name=name).flatten()
        scale = wanted.norm()
        if kind.startswith("gradients"):
            owned = _owned(engine, weight)
            found, wanted = found.flatten()[owned], wanted[owned]
        error = float((found.flatten() - wanted.flatten()).norm() / scale)
        error = error if math.isfinite(error) else math.inf  # nan would lose every comparison
        worst[kind.split()[0]] = max(worst.get(kind.split()[0], (0.0, "")), (error, f"{kind} {name}"))
    return worst


def _owned(engine: Engine, weight: Any) -> slice:
    """The part of the flattened weight whose reduced gradient lies on this rank."""
    for optimizer in engine.optimizer.chained_optimizers:
        if not hasattr(optimizer, "model_param_gbuf_map"):
            return slice(None)
        if weight in optimizer.model_param_gbuf_map:
            index, dtype, bucket = optimizer.model_param_gbuf_map[weight]
            places = optimizer.gbuf_ranges[index][dtype][bucket]["param_map"]
            return slice(places[weight]["param"].start, places[weight]["param"].end) if weight in places else slice(0)
    return slice(0)


def _check_bfloat16(rank: int, world_size: int, init_method: str, model: ModelConfig, path: Path) -> None:
    """Weights and activations rounded to 8 bits of mantissa: near the truth, and float32 where it must be."""
    truth = load_file(path)
    for number, settings in enumerate(({}, SHARDED, SEQUENCE)):
        parallel = start(settings, rank=rank, world_size=world_size, init_method=f"{init_method}-{number}")
        engine = Engine(parallel, model, dtype="bfloat16")
        losses, norm, following = engine.gradients(), torch.tensor(engine.step()), engine.gradients()
        assert all(weight.dtype == torch.bfloat16 for chunk in engine.bare for weight in chunk.parameters())
        assert all(weight.main_grad.dtype == torch.float32 for chunk in engine.bare for weight in chunk.parameters())
        for name, found in {"losses 0": losses, "norms 0": norm, "losses 1": following}.items():
            torch.testing.assert_close(found, truth[name].to(found.dtype), rtol=0.03, atol=0.5, msg=name)
        groups.shutdown()
