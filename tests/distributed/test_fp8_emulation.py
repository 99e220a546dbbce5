"""The emulated FP8 layers inside the real engine: the plain layer where nothing rounds, rounded operands where it does.

Layers are compared one by one, on given inputs: in a whole model the order of a float32 sum can move a value over a
rounding boundary, so that layouts agree to FP8's precision only.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from torch import Tensor

from megatron_speech.checkpoint.distributed.save_load import load_model, save_model
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import CheckpointConfig, PretrainConfig
from megatron_speech.model.builder import build_model, to_transformer_config
from megatron_speech.model.fp8_emulation import EmulatedColumnParallelLinear, EmulatedRowParallelLinear
from megatron_speech.model.fp8_scaling import E4M3, E5M2, Delayed, round_blocks, round_tensor
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.distributed.engine import VOCABULARY
from tests.ranks import run_ranks
from tests.toy_runs import MODEL as TOY
from tests.toy_runs import check_trains, make_config, make_sources, read_history, resuming

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="emulation is for machines without a GPU")

RECIPES = ("delayed", "tensorwise", "blockwise")
KINDS = {"column": EmulatedColumnParallelLinear, "row": EmulatedRowParallelLinear}
PLAIN = {"column": ColumnParallelLinear, "row": RowParallelLinear}
TOKENS, WIDTH = 256, 256
MODEL = ModelConfig(num_layers=4, hidden_size=WIDTH, ffn_hidden_size=256, num_attention_heads=4, num_query_groups=2)
LAYOUTS = ({"tensor_model_parallel_size": 2}, {"tensor_model_parallel_size": 2, "sequence_parallel": True})
RELATIVE = 1e-5


def test_where_nothing_rounds_it_is_the_plain_layer() -> None:
    run_ranks(_check_exact, 1)


def test_products_are_of_rounded_operands() -> None:
    run_ranks(_check_operands, 1)


def test_a_rank_of_two_computes_its_part_of_one(tmp_path: Path) -> None:
    run_ranks(_write_layers, 1, tmp_path)
    for degrees in LAYOUTS:
        run_ranks(_check_layers, 2, degrees, tmp_path)


def test_only_the_layers_products_are_emulated() -> None:
    run_ranks(_check_which, 1)
    run_ranks(_check_which_in_a_pipeline, 2)


def test_what_the_emulation_would_ignore_is_refused() -> None:
    run_ranks(_check_refused, 1)


def test_a_new_run_starts_its_scales_anew(tmp_path: Path) -> None:
    run_ranks(_check_base, 1, tmp_path)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("recipe", ["delayed", "tensorwise"])
def test_resumed_run_is_the_uninterrupted_one(tmp_path: Path, sources: Any, recipe: str) -> None:
    parallel = ParallelConfig(use_distributed_optimizer=True)
    whole = make_config(tmp_path / "whole", sources, steps=6, parallel=parallel, precision=_precision(recipe))
    stopped = dataclasses.replace(
        whole, folder=tmp_path / "stopped", train=dataclasses.replace(whole.train, stop_at_step=4)
    )
    run_ranks(check_trains, 2, whole)
    run_ranks(check_trains, 2, stopped)
    resumed = dataclasses.replace(resuming(stopped), train=whole.train)
    run_ranks(check_trains, 2, resumed)
    assert len(read_history(whole)) == 6 and read_history(resumed) == read_history(whole)


def test_a_run_without_a_history_does_not_go_on_with_delayed_scales(tmp_path: Path, sources: Any) -> None:
    plain = make_config(tmp_path / "run", sources, steps=6, train={"stop_at_step": 4})
    run_ranks(check_trains, 2, plain)
    run_ranks(_check_resume_refused, 2, dataclasses.replace(resuming(plain), precision=_precision("delayed")))


def _precision(recipe: str, **settings: Any) -> PrecisionConfig:
    settings = {"dtype": "bfloat16", "fp8": "hybrid", **settings}
    return PrecisionConfig(fp8_recipe=recipe, fp8_emulation=True, **settings)


def _start(rank: int, world_size: int, init_method: str, degrees: dict[str, Any]) -> ParallelConfig:
    parallel = ParallelConfig(**degrees)
    groups.initialize(ParallelLayout.of(parallel, world_size=world_size), seed=1, rank=rank, init_method=init_method)
    return parallel


def _layer(kind: str, parallel: ParallelConfig, precision: PrecisionConfig, weight: Tensor) -> Any:
    """One layer of WIDTH x WIDTH with this rank's slice of `weight`."""
    config = to_transformer_config(MODEL, parallel=parallel, precision=precision)
    where = {"gather_output": False} if kind == "column" else {"input_is_parallel": True}
    settings = {"config": config, "init_method": config.init_method, "bias": True, "skip_bias_add": False, **where}
    layer = (KINDS if precision.fp8 != "none" else PLAIN)[kind](WIDTH, WIDTH, **settings)
    with torch.no_grad():
        layer.weight.copy_(_part(weight, 0 if kind == "column" else 1))
    return layer


def _part(whole: Tensor, dim: int) -> Tensor:
    return whole.chunk(groups.tensor_parallel_size(), dim)[groups.tensor_parallel_rank()]


def _pass(layer: Any, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Output, and gradients of input, weight and bias."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    output, _ = layer(x)
    output.backward(gradient)
    found = {"output": output, "input": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad}
    return {name: value.detach().clone() for name, value in found.items() if value is not None}


def _random(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and gradient whose rows and columns have ranges of their own."""
    draw = torch.Generator().manual_seed(seed)

    def wide(rows: int, columns: int) -> Tensor:
        by_row, by_column = ((1.5 * torch.randn(size, generator=draw)).exp() for size in ((rows, 1), (1, columns)))
        return torch.randn(rows, columns, generator=draw) * by_row * by_column

    return wide(TOKENS, WIDTH)[:, None], wide(WIDTH, WIDTH), wide(TOKENS, WIDTH)[:, None] * 1e-3


def _check_exact(rank: int, world_size: int, init_method: str) -> None:
    parallel = _start(rank, world_size, init_method, {})
    draw = torch.Generator().manual_seed(0)
    shapes = ((TOKENS, 1, WIDTH), (WIDTH, WIDTH), (TOKENS, 1, WIDTH))
    # Three bits each, and with a 7 in every block: scales are powers of two.
    x, weight, gradient = (torch.randint(-7, 8, shape, generator=draw).float() for shape in shapes)
    for kind in KINDS:
        wanted = _pass(_layer(kind, parallel, PrecisionConfig(dtype="float32"), weight), x, gradient)
        for recipe in RECIPES:
            layer = _layer(kind, parallel, _precision(recipe, dtype="float32"), weight)
            for _ in range(2):  # delayed: at the first scale, and at one from the history
                found = _pass(layer, x, gradient)
                assert found.keys() == wanted.keys() == {"output", "input", "weight", "bias"}
                assert all(torch.equal(found[name], wanted[name]) for name in wanted), (kind, recipe)


def _check_operands(rank: int, world_size: int, init_method: str) -> None:
    parallel = _start(rank, world_size, init_method, {})
    x, weight, gradient = _random(0)

    def blocks(values: Tensor, dtype: torch.dtype, *block: int) -> Tensor:
        return round_blocks(values.flatten(0, -2), dtype, (block[0], block[1]))

    def tensor(values: Tensor, dtype: torch.dtype) -> Tensor:
        return round_tensor(values.flatten(0, -2), dtype)

    operands = {
        "tensorwise": (tensor(x, E4M3), tensor(x, E4M3), tensor(weight, E4M3), *[tensor(gradient, E5M2)] * 2),
        "blockwise": (
            blocks(x, E4M3, 1, 128),
            blocks(x, E4M3, 128, 1),
            blocks(weight, E4M3, 128, 128),
            blocks(gradient, E4M3, 1, 128),
            blocks(gradient, E4M3, 128, 1),
        ),
    }
    for one_way, other_way in (operands["blockwise"][:2], operands["blockwise"][3:]):
        assert _worst_error(one_way, other_way) > 100 * RELATIVE, "blocks of both directions round alike"
    for kind in KINDS:
        for recipe, (x_rows, x_tokens, rounded_weight, g_rows, g_tokens) in operands.items():
            form = "hybrid" if recipe == "tensorwise" else "e4m3"
            layer = _layer(kind, parallel, _precision(recipe, fp8=form, dtype="float32"), weight)
            found = _pass(layer, x, gradient)
            _close("output", found["output"].flatten(0, 1), x_rows @ rounded_weight.t())
            _close("input", found["input"].flatten(0, 1), g_rows @ rounded_weight)
            _close("weight", found["weight"], g_tokens.t() @ x_tokens)
            _close("bias", found["bias"], gradient.flatten(0, 1).sum(0))
            exact = gradient.flatten(0, 1).t() @ x.flatten(0, 1)
            assert _error(found["weight"], exact) > 1e-3, "nothing was rounded"
        half = _layer(kind, parallel, _precision("tensorwise"), weight)
        found = _pass(half, x.bfloat16(), gradient.bfloat16())
        assert {value.dtype for value in found.values()} == {torch.bfloat16}


def _write_layers(rank: int, world_size: int, init_method: str, folder: Path) -> None:
    parallel = _start(rank, world_size, init_method, {})
    for kind in KINDS:
        for recipe in RECIPES:
            layer = _layer(kind, parallel, _precision(recipe, dtype="float32"), _random(0)[1])
            passes = [_pass(layer, x, gradient) for x, _, gradient in (_random(1), _random(2))]
            torch.save(passes, folder / f"{kind}-{recipe}.pt")


def _check_layers(rank: int, world_size: int, init_method: str, degrees: dict[str, Any], folder: Path) -> None:
    """Two passes, so that delayed scales come from a history; inputs and gradients cut as the layer has them."""
    parallel = _start(rank, world_size, init_method, degrees)
    # Which dimension of each tensor the ranks share: columns split the output, rows the input; None: each has it whole.
    along_sequence = 0 if parallel.sequence_parallel else None
    dims = {
        "column": {"input": along_sequence, "output": 2, "weight": 0, "bias": 0},
        "row": {"input": 2, "output": along_sequence, "weight": 1},
    }
    for kind in KINDS:
        for recipe in RECIPES:
            layer = _layer(kind, parallel, _precision(recipe, dtype="float32"), _random(0)[1])
            for (x, _, gradient), wanted in zip(
                (_random(1), _random(2)), torch.load(folder / f"{kind}-{recipe}.pt"), strict=True
            ):
                ours = _pass(layer, _cut(x, dims[kind]["input"]), _cut(gradient, dims[kind]["output"]))
                errors = {name: _error(ours[name], _cut(wanted[name], dim)) for name, dim in dims[kind].items()}
                if recipe == "tensorwise":  # a rank scales its own slices: they may well lie on another grid
                    assert max(errors.values()) > RELATIVE, "tensorwise scales agree after all: say so"
                else:
                    assert max(errors.values()) <= RELATIVE, f"{kind} {recipe} {degrees}: {errors}"


def _cut(whole: Tensor, dim: int | None) -> Tensor:
    return whole if dim is None else _part(whole, dim).contiguous()


def _check_which(rank: int, world_size: int, init_method: str) -> None:
    parallel = _start(rank, world_size, init_method, {})
    assert _emulated_layers(parallel, _precision("delayed")) == {0, 1, 2, 3}
    ends = _precision("blockwise", first_last_layers_bf16=True, num_layers_at_start_in_bf16=2)
    assert _emulated_layers(parallel, ends) == {2}


def _check_which_in_a_pipeline(rank: int, world_size: int, init_method: str) -> None:
    parallel = _start(rank, world_size, init_method, {"pipeline_model_parallel_size": 2})
    assert _emulated_layers(parallel, _precision("tensorwise", first_last_layers_bf16=True)) == {rank + 1}


def _emulated_layers(parallel: ParallelConfig, precision: PrecisionConfig) -> set[int]:
    """Numbers of this rank's layers whose four products are emulated; the embedding and the head must never be."""
    (chunk,) = build_model(MODEL, vocabulary=VOCABULARY, parallel=parallel, precision=precision)
    found = set()
    for layer in chunk.decoder.layers:
        kinds = [type(module) for module in layer.modules() if isinstance(module, tuple(PLAIN.values()))]
        if set(kinds) == set(KINDS.values()) and len(kinds) == 4:
            found.add(layer.layer_number - 1)
        else:
            assert set(kinds) == set(PLAIN.values()), kinds
    elsewhere = {name for name, module in chunk.named_modules() if isinstance(module, tuple(KINDS.values()))}
    assert all(name.startswith("decoder.layers.") for name in elsewhere)
    return found


def _check_refused(rank: int, world_size: int, init_method: str) -> None:
    parallel = _start(rank, world_size, init_method, {})
    units = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    recomputing = dataclasses.replace(parallel, **units)
    with pytest.raises(ValueError, match=r"parallel\.recompute_granularity=full needs .* use null"):
        build_model(MODEL, vocabulary=VOCABULARY, parallel=recomputing, precision=_precision("delayed"))


def _check_base(rank: int, world_size: int, init_method: str, folder: Path) -> None:
    """Weights alone travel between precisions, in both directions."""
    parallel = _start(rank, world_size, init_method, {})

    def build(precision: PrecisionConfig, seed: int) -> Any:
        return build_model(TOY, vocabulary=VOCABULARY, parallel=parallel, precision=precision, seed=seed)

    plain, delayed = build(PrecisionConfig(dtype="bfloat16"), 1), build(_precision("delayed"), 2)
    histories = [module for module in delayed[0].modules() if isinstance(module, Delayed)]
    for history in histories:
        history.scale.fill_(3.0)
    save_model(folder / "delayed", delayed, model=TOY, vocabulary=VOCABULARY)
    for chunks in (plain, fresh := build(_precision("delayed"), 3)):
        load_model(folder / "delayed", chunks, model=TOY, vocabulary=VOCABULARY)
        weights = dict(delayed[0].named_parameters())
        assert all(torch.equal(weight, weights[name]) for name, weight in chunks[0].named_parameters())
    assert all((module.scale == 1).all() for module in fresh[0].modules() if isinstance(module, Delayed))
    save_model(folder / "plain", plain, model=TOY, vocabulary=VOCABULARY)
    load_model(folder / "plain", delayed, model=TOY, vocabulary=VOCABULARY)


def _check_resume_refused(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    assert config.checkpoint == CheckpointConfig(every_steps=3, resume="required")
    with pytest.raises(ValueError, match=r"fp8_amax_history_len=0 there .*, 1024 in this run"):
        check_trains(rank, world_size, init_method, config)


def _error(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape, f"{found.shape} is not {wanted.shape}"
    return float((found - wanted).norm() / wanted.norm())


def _close(name: str, found: Tensor, wanted: Tensor) -> None:
    assert (error := _worst_error(found, wanted)) <= RELATIVE, f"{name}: relative error {error:.2e}"


def _worst_error(found: Tensor, wanted: Tensor) -> float:
    """Of any one row or column: what a scale costs the small ones is nothing beside the large ones."""
    return max(float(((found - wanted).norm(dim=dim) / wanted.norm(dim=dim)).max()) for dim in range(wanted.dim()))
