"""The loss that is trained is one weighted mean over the global batch, in every layout, empty micro-batches or not.

The reference knows no schedule and no ranks: one forward pass over all rows, masks and weights by the plain walk of
`tests.plain_batch`, one division, one backward pass.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from megatron_speech.config.run.data import LossConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import OptimizerConfig, PretrainConfig
from megatron_speech.data.shards.document import Row
from megatron_speech.parallel.layout import ParallelLayout
from tests.plain_batch import positions
from tests.ranks import run_ranks
from tests.toy_runs import MODEL, VOCABULARY, make_config, make_sources

RELATIVE = 1e-5  # float32, never widened
ROWS = 4  # that teach something, among as many that teach nothing

LAYOUTS: dict[str, tuple[int, int, dict[str, Any]]] = {
    # world size, rows per micro-batch, degrees
    "one rank": (1, 1, {}),
    "one rank, two rows at once": (1, 2, {}),
    "data 2, one rank without targets": (2, 1, {}),
    "data 2 + distributed optimizer, one rank without targets": (2, 1, {"use_distributed_optimizer": True}),
    "pipeline 2": (2, 1, {"pipeline_model_parallel_size": 2}),
    "pipeline 2 x virtual 2": (
        2,
        1,
        {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2},
    ),
    "tensor 2 + sequence": (2, 1, {"tensor_model_parallel_size": 2, "sequence_parallel": True}),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    """Half a weight for text of the first source; of the second no text and much speech; gradients as they are."""
    folder = tmp_path_factory.mktemp("losses")
    sources = make_sources(folder)
    sources["text"] = dataclasses.replace(sources["text"], loss=LossConfig(text_weight=0.5))
    sources["paired"] = dataclasses.replace(sources["paired"], loss=LossConfig(text_weight=0.0, speech_weight=3.0))
    return make_config(
        folder / "run",
        sources,
        model=dataclasses.replace(MODEL, num_layers=4),
        precision=PrecisionConfig(dtype="float32"),
        optimizer=OptimizerConfig(clip_grad=0.0),
    )


@pytest.fixture(scope="module")
def truth(run: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "plain.safetensors"
    run_ranks(_write_truth, 1, run, path)
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_matches_the_plain_mean(name: str, run: PretrainConfig, truth: Path) -> None:
    world_size, at_once, degrees = LAYOUTS[name]
    config = dataclasses.replace(run, parallel=ParallelConfig(**degrees))
    run_ranks(_check_layout, world_size, config, at_once, truth)


@pytest.mark.parametrize("pipeline", [1, 2])
def test_a_batch_without_any_target_changes_nothing(pipeline: int, run: PretrainConfig) -> None:
    parallel = ParallelConfig(pipeline_model_parallel_size=pipeline)
    run_ranks(_check_nothing, pipeline, dataclasses.replace(run, parallel=parallel))


def _start(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> Any:
    from megatron_speech.parallel import groups
    from megatron_speech.training.engine import build_engine

    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    return build_engine(config, vocabulary=VOCABULARY, load_base=False)


def _rows(config: PretrainConfig) -> list[Row]:
    """Two rows of each source."""
    from megatron_speech.data.plan.mixture import compile_plan
    from megatron_speech.data.reading.reader import Reader

    reader = Reader(compile_plan(config.data, vocabulary=VOCABULARY, num_samples=ROWS))
    return reader.rows(range(ROWS))


def _empty(row: Row) -> Row:
    return dataclasses.replace(row, context=np.array([[0, len(row.tokens)]], np.int32))


def _write_truth(rank: int, world_size: int, init_method: str, config: PretrainConfig, path: Path) -> None:
    from megatron_speech.data.reading.batch import collate
    from megatron_speech.model.forward import forward
    from megatron_speech.model.initialization import global_parameters

    engine, rows = _start(rank, world_size, init_method, config), _rows(config)
    weights, counts = torch.zeros(ROWS, config.data.seq_length), torch.zeros(2, 2)
    for place in positions(rows, VOCABULARY):
        if place.is_target:
            counts[place.source, int(place.is_speech)] += 1
            weights[place.row, place.position] = config.data.loss_weights[place.source][int(place.is_speech)]
    assert counts[0, 0] and counts[1, 0] and counts[1, 1]  # all that weighs differently occurs
    host, chunk = collate(rows), engine.chunks[0].module
    tokens = torch.from_numpy(host.tokens).long()
    losses = forward(
        chunk,
        tokens=tokens[:, :-1].contiguous(),
        labels=tokens[:, 1:].contiguous(),
        cu_seqlens=torch.from_numpy(host.cu_seqlens),
        max_seqlen=host.max_seqlen,
    )
    loss = (losses.double() * weights.flatten()).sum() / weights.sum()
    loss.backward()
    # The data parallel wrapper moves every gradient into main_grad.
    gradients = {name: weight.main_grad.clone() for name, weight in global_parameters(chunk)}
    save_file({**gradients, "loss": loss.detach(), "counts": counts}, path)


def _check_layout(
    rank: int, world_size: int, init_method: str, config: PretrainConfig, at_once: int, path: Path
) -> None:
    from megatron_speech.data.reading.batch import collate
    from megatron_speech.model.initialization import global_parameters, shard
    from megatron_speech.parallel import groups
    from megatron_speech.training.metrics import total_loss
    from megatron_speech.training.step import train_step

    engine, truth = _start(rank, world_size, init_method, config), load_file(path)
    # The second of two data parallel ranks gets the empty rows; other layouts meet them in turn.
    rows = [each for row in _rows(config) for each in (row, _empty(row))]
    mine = rows[groups.data_parallel_rank() :: groups.data_parallel_size()]
    hosts = [collate(mine[first : first + at_once]) for first in range(0, len(mine), at_once)]
    sums, norm = train_step(engine, hosts, lr=0.0, weight_decay=0.0)
    assert torch.equal(sums[..., 1], truth["counts"].double())
    assert total_loss(sums, engine.loss_weights.tolist()) == pytest.approx(float(truth.pop("loss")), rel=RELATIVE)
    del truth["counts"]
    assert norm == pytest.approx(float(sum(part.square().sum() for part in truth.values()).sqrt()), rel=RELATIVE)
    if not config.parallel.use_distributed_optimizer:  # which leaves each rank a part; the norm is of the whole
        for chunk in engine.chunks:
            for name, weight in global_parameters(chunk.module):
                wanted = shard(truth[name], weight, name=name)
                assert (weight.main_grad - wanted).norm() <= RELATIVE * wanted.norm(), name


def _check_nothing(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.data.reading.batch import collate
    from megatron_speech.training.metrics import mean_losses, total_loss
    from megatron_speech.training.step import train_step

    engine = _start(rank, world_size, init_method, config)
    before = [parameter.detach().clone() for parameter in engine.chunks[0].parameters()]
    sums, norm = train_step(engine, [collate([_empty(row)]) for row in _rows(config)], lr=1e-2, weight_decay=0.0)
    assert not sums.any() and norm == 0 and total_loss(sums, engine.loss_weights.tolist()) == 0
    assert mean_losses(sums, ["text", "paired"]) == mean_losses(sums, ["text", "synthesis"]) == {}
    assert all(map(torch.equal, before, engine.chunks[0].parameters()))
