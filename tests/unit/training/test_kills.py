"""Processes that die at any moment and go on with another number of ranks read what one process reads."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.config.run.training import BatchRampConfig, TrainConfig
from megatron_speech.data.plan.plan import Plan
from megatron_speech.training.batches import sample_numbers
from megatron_speech.training.schedule import steps
from tests.toy_plans import SEQ_LENGTH, planned, stage

RANKS = (1, 2, 3, 4, 8, 64)
# Every size of the ramp is whole micro-batches for each of the ranks.
TRAIN = TrainConfig(global_batch_size=1152, batch_ramp=BatchRampConfig(start=576, increment=576, samples=3000))


def _plan() -> Plan:
    first = stage(5000 * SEQ_LENGTH, text={"weight": 3}, speech={"weight": 1}, paired={"tokens": 320})
    return planned(first, stage(4000 * SEQ_LENGTH, speech={"epochs": 5}, text={"remainder": True}))


@pytest.mark.parametrize("seed", range(3))
def test_killed_processes_read_what_one_reads(tmp_path: Path, seed: int) -> None:
    plan, draw = _plan(), random.Random(seed)
    deaths = 0
    while True:
        ranks, micro, dies_after = draw.choice(RANKS), draw.choice([1, 3]), draw.randrange(5)
        child = os.fork()
        if not child:  # only files, and arithmetic of NumPy: no thread of the parent is needed
            try:
                _read(plan, tmp_path, ranks=ranks, micro_batch_size=micro, dies_after=dies_after if deaths < 8 else -1)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        deaths += 1
    assert deaths >= 3
    source, row = plan.locate_many(np.arange(plan.num_samples))
    wanted = [f"{number} {source[number]} {row[number]}" for number in range(plan.num_samples)]
    assert (tmp_path / "read.txt").read_text().splitlines() == wanted


def _read(plan: Plan, folder: Path, *, ranks: int, micro_batch_size: int, dies_after: int) -> None:
    """Note every sample of every rank, save a state after every second step, die by SIGKILL between any two writes."""
    writes = 0

    def may_die() -> None:
        nonlocal writes
        if writes == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        writes += 1

    state = read_json(folder / "state.json") if (folder / "state.json").is_file() else {"consumed_samples": 0}
    assert state.get("plan", plan.fingerprint) == plan.fingerprint
    log = folder / "read.txt"
    kept = log.read_text().splitlines(keepends=True)[: state["consumed_samples"]] if log.is_file() else []
    log.write_text("".join(kept))
    for number, (first, size) in enumerate(steps(TRAIN, first=state["consumed_samples"], total=plan.num_samples)):
        numbers = np.array(_of_all_ranks(first, size, ranks=ranks, micro_batch_size=micro_batch_size))
        numbers = numbers[numbers < plan.num_samples]
        source, row = plan.locate_many(numbers)
        lines = sorted(zip(numbers.tolist(), source.tolist(), row.tolist(), strict=True))
        with log.open("a") as file:
            file.write("".join(f"{a} {b} {c}\n" for a, b, c in lines))
        may_die()
        if number % 2:
            facts = {"plan": plan.fingerprint, "consumed_samples": first + size}
            write_atomic(folder / "state.json", json.dumps(facts))
            may_die()
    os._exit(0)


def _of_all_ranks(first: int, size: int, *, ranks: int, micro_batch_size: int) -> list[int]:
    batches = [
        sample_numbers(
            first,
            num_microbatches=size // (ranks * micro_batch_size),
            micro_batch_size=micro_batch_size,
            data_parallel_rank=rank,
            data_parallel_size=ranks,
        )
        for rank in range(ranks)
    ]
    return [number for rank in batches for batch in rank for number in batch]


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("micro", [1, 3])
def test_global_batches_are_the_same_for_every_number_of_ranks(ranks: int, micro: int) -> None:
    for first, size in steps(TRAIN, first=0, total=9000):
        read = _of_all_ranks(first, size, ranks=ranks, micro_batch_size=micro)
        assert sorted(read) == list(range(first, first + size))
