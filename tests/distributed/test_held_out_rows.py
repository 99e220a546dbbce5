"""Held-out loss is over the same rows in every layout, also where they fill no whole micro-batch on every rank."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import LoggingConfig, PretrainConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.ranks import run_ranks
from tests.toy_runs import MODEL, VOCABULARY, make_config, make_sources

RELATIVE = 1e-5  # float32, never widened
VIRTUAL = {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2}
# World size, layout, rows of a micro-batch; rows of the two sources: 5 of many, and all of a short one.
CASES = [
    (1, {}, 2),
    (1, {}, 8),
    (2, {}, 1),
    (2, {}, 2),
    (2, {"tensor_model_parallel_size": 2, "sequence_parallel": True}, 2),
    (2, {"pipeline_model_parallel_size": 2}, 2),
    (2, VIRTUAL, 1),
    (2, {"context_parallel_size": 2}, 2),
    (4, VIRTUAL, 2),
    (4, {"tensor_model_parallel_size": 2}, 4),
    (4, {"use_distributed_optimizer": True}, 2),
]
Found = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    folder = tmp_path_factory.mktemp("held-out")
    sources, short = make_sources(folder / "long"), make_sources(folder / "short", documents=5)
    made = make_config(
        folder / "run",
        sources,
        model=dataclasses.replace(MODEL, num_layers=4, init_method_std=0.3),
        precision=PrecisionConfig(dtype="float32"),
        logging=LoggingConfig(validation_rows=5),
    )
    held_out = {"text": sources["text"], "paired": short["paired"]}
    return dataclasses.replace(made, data=dataclasses.replace(made.data, validation=held_out))


@pytest.fixture(scope="module")
def truth(config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What one rank finds, row by row."""
    path = tmp_path_factory.mktemp("truth") / "found.json"
    run_ranks(_score, 1, config, path)
    return _read(path)


@pytest.mark.parametrize(("world_size", "layout", "micro"), CASES)
def test_rows_that_fill_no_micro_batch_are_scored_in_every_layout(
    tmp_path: Path, config: PretrainConfig, truth: Found, world_size: int, layout: dict[str, Any], micro: int
) -> None:
    train = dataclasses.replace(config.train, micro_batch_size=micro, global_batch_size=8)
    other = dataclasses.replace(config, parallel=ParallelConfig(**layout), train=train)
    run_ranks(_score, world_size, other, tmp_path / "found.json")
    losses, targets, rows = _read(tmp_path / "found.json")
    assert rows == truth[2] == {"text": 5, "paired": 3} and targets == truth[1]
    assert all(sum(counts.values()) > 0 for counts in targets.values())
    for source, by_modality in truth[0].items():
        assert losses[source] == pytest.approx(by_modality, rel=RELATIVE, abs=0)


def _read(path: Path) -> Found:
    found = json.loads(path.read_text())
    return found["losses"], found["targets"], found["rows"]


def _score(rank: int, world_size: int, init_method: str, config: PretrainConfig, path: Path) -> None:
    from megatron_speech.parallel.replica import Replica
    from megatron_speech.storage.place import Places
    from megatron_speech.training.engine import build_engine
    from megatron_speech.training.feed import Feed
    from megatron_speech.training.validation import Validation, validation_plans

    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    engine = build_engine(config, vocabulary=VOCABULARY, load_base=False)
    replica, places = Replica.of(layout), Places(config.data.reader)
    plans = validation_plans(config, vocabulary=VOCABULARY)
    validation = Validation.of(
        {name: Feed(plan, places, replica=replica) for name, plan in plans.items()}, config=config, layout=layout
    )
    found = validation.run(engine)
    if rank == world_size - 1:
        path.write_text(json.dumps(dataclasses.asdict(found)))
    groups.shutdown()
