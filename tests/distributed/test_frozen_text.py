"""While text is frozen, new rows learn and nothing else moves by a bit: not by gradients, decay, sharding or layout."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.parallel.layout import ParallelLayout
from tests.ranks import run_ranks
from tests.toy_runs import MODEL, VOCABULARY, make_config, make_sources

TENSOR = {"tensor_model_parallel_size": 2, "sequence_parallel": True}
PIPELINE = {"pipeline_model_parallel_size": 2}
SHARDED = {"use_distributed_optimizer": True}
CASES: dict[str, tuple[int, dict[str, Any], str, bool]] = {
    # world size, degrees, dtype, untied
    "one rank": (1, {}, "float32", False),
    "one rank + distributed optimizer": (1, SHARDED, "float32", False),
    "tensor 2": (2, TENSOR, "float32", False),
    "pipeline 2, tied": (2, PIPELINE, "float32", False),
    "pipeline 2, untied": (2, PIPELINE, "float32", True),
    "data 2 + distributed optimizer": (2, SHARDED, "bfloat16", True),
    "tensor 2 x pipeline 2": (4, {**TENSOR, **PIPELINE}, "bfloat16", False),
    "tensor 2 x data 2 + distributed optimizer": (4, {**TENSOR, **SHARDED}, "float32", True),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("name", CASES)
def test_only_new_rows_move(name: str, tmp_path: Path, sources: Any) -> None:
    world_size, degrees, dtype, untied = CASES[name]
    config = make_config(
        tmp_path / "run",
        sources,
        model=dataclasses.replace(MODEL, untie_embeddings_and_output_weights=untied),
        parallel=ParallelConfig(**degrees),
        precision=PrecisionConfig(dtype=dtype),
    )
    run_ranks(_check_frozen, world_size, config)


def _check_frozen(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.data.plan.mixture import compile_plan
    from megatron_speech.data.reading.batch import collate
    from megatron_speech.data.reading.reader import Reader
    from megatron_speech.parallel import groups
    from megatron_speech.training.engine import build_engine
    from megatron_speech.training.step import train_step

    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    engine = build_engine(config, vocabulary=VOCABULARY, load_base=False)
    rows = Reader(compile_plan(config.data, vocabulary=VOCABULARY, num_samples=8)).rows(range(8))
    hosts = [collate([row]) for row in rows[groups.data_parallel_rank() :: groups.data_parallel_size()]]
    untied = config.model.untie_embeddings_and_output_weights
    parameters = {name: weight for chunk in engine.chunks for name, weight in chunk.named_parameters()}
    before = {name: weight.detach().clone() for name, weight in parameters.items()}
    for _ in range(3):
        train_step(engine, hosts, lr=1e-2, weight_decay=0.1, text_frozen=True)
    for name, weight in parameters.items():
        old, new, padding = _rows_of(name, weight)
        assert weight[old].equal(before[name][old]), name
        assert not weight[padding].any(), name
        if new.start < new.stop:
            moved = (weight[new] != before[name][new]).any(dim=1)
            if untied and name.endswith("word_embeddings.weight"):  # learns where its id is read; no special id is
                assert moved.any() == (len(moved) > len(VOCABULARY.special_tokens)), name
            else:  # every id has a probability
                assert moved.all(), name
    train_step(engine, hosts, lr=1e-2, weight_decay=0.1)
    for name, weight in parameters.items():
        old, _, padding = _rows_of(name, weight)
        assert old.start == old.stop or not weight[old].equal(before[name][old]), name
        assert not weight[padding].any(), name


def _rows_of(name: str, weight: torch.Tensor) -> tuple[slice, slice, slice]:
    """Rows of text ids, of new ids and of padding; for what is no embedding and no head, all rows are old."""
    from megatron_speech.parallel import groups

    count = len(weight)
    if not name.endswith(("word_embeddings.weight", "output_layer.weight")):
        return slice(0, count), slice(count, count), slice(count, count)
    first = groups.tensor_parallel_rank() * count
    text, ids = (min(max(end - first, 0), count) for end in (VOCABULARY.num_text_ids, VOCABULARY.size))
    return slice(0, text), slice(text, ids), slice(ids, count)
