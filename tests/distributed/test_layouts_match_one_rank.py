"""Sharded equals unsharded: one process writes the truth, ranks in other layouts compare losses and gradients.

The weights need no file: they are a function of the seed and the parameter's name (`model.initialization`), which the
comparison of gradients would not survive if it were false.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from megatron_speech.config.parallel import ParallelConfig
from megatron_speech.model.initialization import global_parameters, shard
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.distributed.engine import MODEL, Engine
from tests.ranks import run_ranks

RELATIVE = 1e-5  # float32, never widened

LAYOUTS = {
    "tensor 2": (2, {"tensor_model_parallel_size": 2}),
    "tensor 2 + sequence": (2, {"tensor_model_parallel_size": 2, "sequence_parallel": True}),
    "pipeline 2": (2, {"pipeline_model_parallel_size": 2}),
    "pipeline 2 x virtual 2": (2, {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2}),
    "data 2": (2, {}),
    "data 2 + distributed optimizer": (2, {"use_distributed_optimizer": True}),
    "tensor 2 x pipeline 2": (
        4,
        {"tensor_model_parallel_size": 2, "pipeline_model_parallel_size": 2, "sequence_parallel": True},
    ),
    "tensor 2 x data 2 + distributed optimizer": (
        4,
        {"tensor_model_parallel_size": 2, "use_distributed_optimizer": True},
    ),
}


@pytest.fixture(scope="module", params=["tied", "untied"])
def truth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """What one process computes, for a tied and an untied model."""
    untied = request.param == "untied"
    path = tmp_path_factory.mktemp("truth") / "one-rank.safetensors"
    run_ranks(_write_truth, 1, path, untied)
    return path, untied


def test_bfloat16_follows_float32(truth: tuple[Path, bool]) -> None:
    for degrees in (
        {},
        {"use_distributed_optimizer": True},
        {"tensor_model_parallel_size": 2, "sequence_parallel": True},
    ):
        run_ranks(_check_bfloat16, 2, degrees, *truth)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_matches_one_rank(name: str, truth: tuple[Path, bool]) -> None:
    world_size, degrees = LAYOUTS[name]
    run_ranks(_check_layout, world_size, degrees, *truth)


def _start(
    rank: int, world_size: int, init_method: str, degrees: dict[str, object], untied: bool, dtype: str = "float32"
) -> Engine:
    parallel = ParallelConfig(**degrees)  # type: ignore[arg-type]
    groups.initialize(ParallelLayout.of(parallel, world_size=world_size), seed=1, rank=rank, init_method=init_method)
    return Engine(parallel, dataclasses.replace(MODEL, untie_embeddings_and_output_weights=untied), dtype)


def _write_truth(rank: int, world_size: int, init_method: str, path: Path, untied: bool) -> None:
    engine = _start(rank, world_size, init_method, {}, untied)
    tensors = {"losses": engine.gradients()}
    for name, weight in global_parameters(engine.bare[0]):
        tensors[f"gradient.{name}"] = weight.main_grad.clone()
    tensors["norm"] = torch.tensor(engine.step())
    tensors["next_losses"] = engine.gradients()
    save_file(tensors, path)


def _check_layout(
    rank: int, world_size: int, init_method: str, degrees: dict[str, object], path: Path, untied: bool
) -> None:
    engine = _start(rank, world_size, init_method, degrees, untied)
    truth = load_file(path)
    _close("losses", engine.gradients(), truth["losses"])
    for chunk in engine.bare:
        for name, weight in global_parameters(chunk):
            wanted = shard(truth[f"gradient.{name}"], weight, name=name).flatten()
            owned = _owned(engine, weight)
            _close(name, weight.main_grad.flatten()[owned], wanted[owned], scale=wanted.norm())
    _close("norm", torch.tensor(engine.step()), truth["norm"])
    _close("next losses", engine.gradients(), truth["next_losses"])


def _check_bfloat16(
    rank: int, world_size: int, init_method: str, degrees: dict[str, object], path: Path, untied: bool
) -> None:
    """Weights and activations rounded to 8 bits of mantissa: near the truth, and float32 where it must be."""
    engine = _start(rank, world_size, init_method, degrees, untied, dtype="bfloat16")
    truth = load_file(path)
    losses, norm, following = engine.gradients(), torch.tensor(engine.step()), engine.gradients()
    assert all(weight.dtype == torch.bfloat16 for chunk in engine.bare for weight in chunk.parameters())
    assert all(weight.main_grad.dtype == torch.float32 for chunk in engine.bare for weight in chunk.parameters())
    for name, found in {"losses": losses, "norm": norm, "next_losses": following}.items():
        torch.testing.assert_close(found, truth[name], rtol=0.03, atol=0.5, msg=name)


def _owned(engine: Engine, weight: torch.Tensor) -> slice:
    """The part of the flattened weight whose reduced gradient lies on this rank."""
    if not hasattr(engine.optimizer.chained_optimizers[0], "_get_model_param_range_map"):
        return slice(None)
    optimizer = engine.optimizer.chained_optimizers[0]
    if weight not in optimizer.model_param_gbuf_map:
        return slice(0, 0)
    index, dtype, bucket = optimizer.model_param_gbuf_map[weight]
    ranges = optimizer.gbuf_ranges[index][dtype][bucket]["param_map"]
    return slice(ranges[weight]["param"].start, ranges[weight]["param"].end) if weight in ranges else slice(0, 0)


def _close(name: str, found: torch.Tensor, wanted: torch.Tensor, scale: torch.Tensor | None = None) -> None:
    error = float((found - wanted).norm() / (wanted.norm() if scale is None else scale))
    assert error <= RELATIVE, f"{name}: relative error {error:.2e}"
