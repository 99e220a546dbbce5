"""One rank of each copy of the model reads, all of them get what it read; damage ends or spares a run on all alike."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.config.run.reader import ReaderConfig
from megatron_speech.config.run.training import CheckpointConfig, PretrainConfig
from tests.ranks import run_ranks
from tests.toy_runs import VOCABULARY, make_config, make_sources

LAYOUTS: dict[str, tuple[int, dict[str, int]]] = {
    "data 2": (2, {}),
    "tensor 2 x data 2": (4, {"tensor_model_parallel_size": 2}),
    "pipeline 2 x context 2": (4, {"pipeline_model_parallel_size": 2, "context_parallel_size": 2}),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    folder = tmp_path_factory.mktemp("reading")
    config = make_config(folder / "run", make_sources(folder), steps=6)
    return dataclasses.replace(config, checkpoint=CheckpointConfig(every_steps=2))


@pytest.mark.parametrize("name", LAYOUTS)
def test_all_ranks_of_a_copy_get_what_its_first_rank_reads(name: str, run: PretrainConfig) -> None:
    world_size, degrees = LAYOUTS[name]
    config = dataclasses.replace(run, parallel=ParallelConfig(**degrees))
    run_ranks(_check_shared, world_size, config)


def test_a_damaged_row_is_masked_and_a_resumed_run_does_not_count_it_twice(run: PretrainConfig, tmp_path: Path) -> None:
    config = _harmed(run, tmp_path, shards=["text"])
    reader = ReaderConfig(damaged_source_share=1.0)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, reader=reader))
    stopped = dataclasses.replace(config, train=dataclasses.replace(config.train, stop_at_step=4))
    run_ranks(_check_trains, 2, stopped)
    run_ranks(_check_trains, 1, dataclasses.replace(config, checkpoint=CheckpointConfig(resume="required")))
    lines = (config.folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    noted = [
        json.loads(line) for path in (config.folder / "quarantine").iterdir() for line in path.read_text().splitlines()
    ]
    assert len(noted) > 1 and len({record["sample"] for record in noted}) == len(noted)
    assert records[-1]["reading"]["damaged_samples"] == len(noted)
    assert records[-1]["reading"]["damaged_blocks"] >= 1
    done = json.loads((config.folder / "done.json").read_text())
    assert done["damage"]["damaged_samples"] == len(noted) and done["damage"]["damaged_blocks"] >= 1
    sources = done["tokens_by_source"]
    assert {name: entry["read"] for name, entry in sources.items()} == {
        name: entry["planned"] for name, entry in sources.items()
    }
    assert sum(entry["read"] for entry in sources.values()) == config.train.tokens


@pytest.mark.parametrize(
    ("reader", "rule"),
    [
        (ReaderConfig(damaged_blocks=0, damaged_share=0.0), r"masked, more than data.reader.damaged_blocks=0"),
        (ReaderConfig(), r"source (text|paired): \d+ of the \d+ samples .*damaged_source_share=0.01"),
        (ReaderConfig(on_damage="fail"), r"checksum differs"),
    ],
)
def test_damage_ends_a_run_on_all_ranks(run: PretrainConfig, tmp_path: Path, reader: ReaderConfig, rule: str) -> None:
    config = _harmed(run, tmp_path, shards=["text", "paired"])
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, reader=reader),
        parallel=ParallelConfig(tensor_model_parallel_size=2),
    )
    run_ranks(_check_refused, 2, config, rule)
    assert not (config.folder / "done.json").exists()


def _harmed(run: PretrainConfig, folder: Path, *, shards: list[str]) -> PretrainConfig:
    """The run on copies of its sources, in some of which the first row of every block is damaged."""
    sources = {}
    for name, source in run.data.sources.items():
        sources[name] = dataclasses.replace(source, folder=folder / name)
        (folder / name).mkdir()
        for path in Path(source.folder).iterdir():
            content = bytearray(path.read_bytes())
            if path.suffix == ".tar" and name in shards:
                for row in range(0, 30, 3):
                    content[_tokens_at(path) + row * 33 * 4] ^= 1
            (folder / name / path.name).write_bytes(content)
    data = dataclasses.replace(run.data, sources=sources)  # validation reads what is whole
    return dataclasses.replace(run, folder=folder / "run", data=data)


def _tokens_at(shard: Path) -> int:
    import tarfile

    with tarfile.open(shard) as tar:
        return next(member.offset_data for member in tar if member.name.endswith("tokens.i32"))


def _check_trains(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.training.run import pretrain

    pretrain(config, world=(rank, world_size), init_method=init_method)


def _check_refused(rank: int, world_size: int, init_method: str, config: PretrainConfig, rule: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=rule):
        _check_trains(rank, world_size, init_method, config)


def _check_shared(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    import torch.distributed as dist

    from megatron_speech.data.plan.mixture import compile_plan
    from megatron_speech.data.reading import reader as readers
    from megatron_speech.data.reading.batch import collate
    from megatron_speech.parallel import groups
    from megatron_speech.parallel.layout import ParallelLayout
    from megatron_speech.parallel.replica import Replica
    from megatron_speech.storage.place import Places
    from megatron_speech.training.feed import Feed

    layout = ParallelLayout.of(config.parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    plan = compile_plan(config.data, vocabulary=VOCABULARY, num_samples=24)
    data = groups.data_parallel_rank()
    steps = [[[data * 12 + 4 * step, data * 12 + 4 * step + 1], [data * 12 + 4 * step + 2]] for step in range(3)]
    wanted = [[collate(readers.Reader(plan).rows(batch)) for batch in step] for step in steps]

    opened: list[Any] = []
    real = readers.Reader.rows
    readers.Reader.rows = lambda self, numbers: opened.append(numbers) or real(self, numbers)
    feed = Feed(plan, Places(), replica=Replica.of(layout))
    found = list(feed.steps(iter(steps)))
    for hosts, expected in zip(found, wanted, strict=True):
        for host, other in zip(hosts, expected, strict=True):
            for field in dataclasses.fields(host):
                assert np.array_equal(getattr(host, field.name), getattr(other, field.name)), field.name
    place = layout.coordinates(rank)
    first = place.tensor == place.context == place.pipeline == 0
    assert len(opened) == (6 if first else 0) and int(feed.rows.sum()) == (9 if first else 0)

    def broken(self: Any, numbers: list[int]) -> Any:
        raise ValueError("shard é: damaged")

    readers.Reader.rows = broken
    with pytest.raises((ValueError, RuntimeError), match="shard é: damaged"):
        list(feed.steps(iter(steps)))
    dist.barrier()
    groups.shutdown()
