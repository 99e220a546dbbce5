"""A run that was interrupted, however, is the run that was not: bit by bit in the same layout, closely in another."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.config.run.data import LossConfig, ShareConfig, StageConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import BatchRampConfig, CheckpointConfig, PretrainConfig
from megatron_speech.training.schedule import learning_rate
from tests.ranks import run_ranks
from tests.toy_runs import (
    MODEL,
    SEQ_LENGTH,
    VOCABULARY,
    check_trains,
    make_config,
    make_sources,
    read_history,
    resuming,
)

SHARDED = ParallelConfig(use_distributed_optimizer=True)
SHARDING_RULE = r"parallel.use_distributed_optimizer=True there, False in this run"
DTYPE_RULE = r"step_1: precision.dtype=bfloat16 there, float32 in this run; resume with bfloat16, or start a new run"
STEPS = 7  # checkpoints after 3, 6 and 7
PIPELINE = ParallelConfig(pipeline_model_parallel_size=2)
UNEVEN = dataclasses.replace(PIPELINE, virtual_pipeline_model_parallel_size=2, pipeline_model_parallel_layout="E|t|t|L")
CONTEXT = ParallelConfig(context_parallel_size=2)
# Layouts of two ranks: the run starts in one and ends in the other.
MOVES = {
    "pipeline to data": (PIPELINE, ParallelConfig()),
    "sharded pipeline to data": (dataclasses.replace(PIPELINE, use_distributed_optimizer=True), SHARDED),
    "uneven virtual pipeline to context": (UNEVEN, CONTEXT),
    "sharded context, overlapped, to data": (
        dataclasses.replace(CONTEXT, use_distributed_optimizer=True, overlap_param_gather=True),
        SHARDED,
    ),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_sources(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize(("dtype", "killed_at"), [("float32", "step 5"), ("bfloat16", "step 5"), ("float32", "save 6")])
def test_killed_and_resumed_run_matches_uninterrupted(tmp_path: Path, sources: Any, dtype: str, killed_at: str) -> None:
    settings = {"steps": STEPS, "parallel": SHARDED, "precision": PrecisionConfig(dtype=dtype)}
    whole = make_config(tmp_path / "whole", sources, **settings)
    broken = make_config(tmp_path / "broken", sources, **settings)
    run_ranks(check_trains, 2, whole)
    with pytest.raises(AssertionError, match="rank"):
        run_ranks(_check_killed, 2, broken, killed_at)
    assert [path.name for path in sorted((broken.folder / "checkpoints").glob("step_?"))] == ["step_3"]
    run_ranks(check_trains, 2, resuming(broken))
    assert read_history(broken) == read_history(whole)


def test_resumed_run_matches_when_every_bucket_is_padded(tmp_path: Path, sources: Any) -> None:
    """Regression: optimizer state behind a padded bucket was saved shifted (bucket_padding.py)."""
    whole = make_config(tmp_path / "whole", sources, steps=STEPS, parallel=SHARDED)
    broken = dataclasses.replace(whole, folder=tmp_path / "broken")
    run_ranks(_check_trains_in_small_buckets, 2, whole)
    stopped = dataclasses.replace(broken, train=dataclasses.replace(broken.train, stop_at_step=4))
    run_ranks(_check_trains_in_small_buckets, 2, stopped)
    run_ranks(_check_trains_in_small_buckets, 2, resuming(broken))
    assert read_history(broken) == read_history(whole)


@pytest.mark.parametrize("move", MOVES)
def test_run_that_changes_its_layout_matches_one_rank(tmp_path: Path, sources: Any, move: str) -> None:
    float32 = PrecisionConfig(dtype="float32")
    there, here = MOVES[move]
    plain = ParallelConfig(use_distributed_optimizer=there.use_distributed_optimizer)
    whole = make_config(tmp_path / "whole", sources, steps=STEPS, precision=float32, parallel=plain)
    moved = dataclasses.replace(
        whole,
        folder=tmp_path / "moved",
        parallel=there,
        train=dataclasses.replace(whole.train, stop_at_step=4),
    )
    run_ranks(check_trains, 1, whole)
    run_ranks(check_trains, 2, moved)
    assert len(read_history(moved)) == 4 and not (moved.folder / "done.json").exists()
    run_ranks(check_trains, 2, resuming(dataclasses.replace(whole, folder=moved.folder, parallel=here)))
    for ours, reference in zip(read_history(moved), read_history(whole), strict=True):
        assert ours["loss"] == pytest.approx(reference["loss"], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(reference["grad_norm"], rel=1e-4)
    ours, reference = (json.loads((run.folder / "done.json").read_text()) for run in (moved, whole))
    assert ours["tokens"] == reference["tokens"]
    assert ours["validation"]["text"]["text"] == pytest.approx(reference["validation"]["text"]["text"], rel=1e-5)


def test_run_that_is_killed_in_its_batch_ramp_matches_one_rank(tmp_path: Path, sources: Any) -> None:
    """Steps of 2, 2 and 2 rows, then of 4; the last one has 2 of its 4 rows."""
    ramp = {"global_batch_size": 4, "batch_ramp": BatchRampConfig(start=2, increment=2, samples=6)}
    settings = {"steps": 7, "train": ramp, "precision": PrecisionConfig(dtype="float32")}
    saving = CheckpointConfig(every_steps=2)
    whole = make_config(tmp_path / "whole", sources, checkpoint=saving, **settings)
    broken = dataclasses.replace(whole, folder=tmp_path / "broken")
    run_ranks(check_trains, 1, whole)
    with pytest.raises(AssertionError, match="rank"):
        run_ranks(_check_killed, 2, broken, "step 3")
    run_ranks(check_trains, 1, resuming(broken))
    assert [record["consumed_samples"] for record in read_history(whole)] == [2, 4, 6, 10, 14, 18, 22, 26, 28]
    for ours, reference in zip(read_history(broken), read_history(whole), strict=True):
        for key in ("consumed_samples", "lr", "tokens"):
            assert ours[key] == reference[key]
        assert ours["loss"] == pytest.approx(reference["loss"], rel=1e-5)


def test_run_goes_on_with_another_mixture_only_when_told_to(tmp_path: Path, sources: Any) -> None:
    shares = {"text": ShareConfig(weight=3), "paired": ShareConfig(weight=1)}
    first = StageConfig(tokens=12 * SEQ_LENGTH, sources=shares)
    silent = ShareConfig(remainder=True, loss=LossConfig(text_weight=0))
    left, then = (
        dataclasses.replace(first, stop_at_sample=8),
        StageConfig(tokens=6 * SEQ_LENGTH, sources={"text": silent}),
    )
    made = make_config(tmp_path / "run", sources, train={"tokens": None, "stop_at_step": 2})
    begun = dataclasses.replace(made, data=dataclasses.replace(made.data, stages=[first]))
    run_ranks(check_trains, 1, begun)
    changed = resuming(
        dataclasses.replace(
            begun,
            data=dataclasses.replace(begun.data, stages=[left, then]),
            train=dataclasses.replace(begun.train, stop_at_step=None),
        )
    )
    run_ranks(_check_other_plan_is_refused, 1, changed)
    told = dataclasses.replace(changed, data=dataclasses.replace(changed.data, extend_plan=True))
    run_ranks(check_trains, 1, told)
    run_ranks(check_trains, 1, changed)  # done already, and the plan is now the run's own
    done, plan = (json.loads((begun.folder / name).read_text()) for name in ("done.json", "plan.json"))
    assert done["consumed_samples"] == 14 and done["steps"] == 4
    assert all(source["read"] == source["planned"] for source in done["tokens_by_source"].values())
    assert sum(source["read"] for source in done["tokens_by_source"].values()) == 14 * begun.data.seq_length
    assert list(plan["before"].values()) == [8]
    ((fingerprint, _),) = plan["before"].items()
    stored = json.loads((begun.folder / f"plan-{fingerprint[:12]}.json").read_text())
    assert stored["fingerprint"] == fingerprint and stored["num_samples"] == 12
    last = read_history(begun)[-1]
    assert set(last["losses"]) == {"text"} and last["loss"] == 0  # read, and not learnt


@pytest.mark.parametrize("damage", ["flipped key", "binary", "deleted"])
def test_damaged_logs_stop_no_run_that_goes_on(tmp_path: Path, sources: Any, damage: str) -> None:
    config = make_config(tmp_path / "run", sources, steps=STEPS)
    run_ranks(check_trains, 2, dataclasses.replace(config, train=dataclasses.replace(config.train, stop_at_step=4)))
    path = config.folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "deleted":
        path.unlink()
        left = []
    else:
        lines[1] = bytes(range(128, 200)) + b"\n" if damage == "binary" else lines[1].replace(b'"step"', b'"ste\x70x"')
        path.write_bytes(b"".join(lines))
        left = [1, 3, 4]
    run_ranks(check_trains, 2, resuming(config))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [*left, 5, 6, 7]
    log = (config.folder / "logs" / "rank_0.log").read_text()
    assert f"has no line of steps {'2' if left else '1 to 4'}, which this run did" in log
    assert ("line 2 is no record of this log: moved to metrics.damaged.jsonl" in log) == bool(left)


def test_a_run_that_has_lost_its_log_and_its_summary_is_done_again(tmp_path: Path, sources: Any) -> None:
    config = make_config(tmp_path / "run", sources, steps=2)
    run_ranks(check_trains, 1, config)
    before = json.loads((config.folder / "done.json").read_text())
    for name in ("done.json", "metrics.jsonl"):
        (config.folder / name).unlink()
    run_ranks(check_trains, 1, resuming(config))
    done = json.loads((config.folder / "done.json").read_text())
    assert done["loss"] is None and done["tokens_per_s"] is None
    assert all(done[key] == before[key] for key in ("steps", "tokens", "validation", "validation_rows", "plan"))


def test_signal_to_one_rank_saves_on_all_and_leaves_quietly(tmp_path: Path, sources: Any) -> None:
    config = make_config(tmp_path / "run", sources, steps=STEPS, parallel=SHARDED)
    run_ranks(_check_signalled, 2, config)
    assert [path.name for path in (config.folder / "checkpoints").iterdir()] == ["step_2"]
    assert not (config.folder / "done.json").exists()
    run_ranks(check_trains, 2, resuming(config))
    assert json.loads((config.folder / "done.json").read_text())["steps"] == STEPS


def test_resume_with_another_optimizer_sharding_or_dtype_is_refused_on_all_ranks(tmp_path: Path, sources: Any) -> None:
    config = make_config(tmp_path / "run", sources, steps=3, parallel=SHARDED)
    run_ranks(check_trains, 2, dataclasses.replace(config, train=dataclasses.replace(config.train, stop_at_step=1)))
    before = _folder(config)
    run_ranks(_check_refused, 2, resuming(dataclasses.replace(config, parallel=ParallelConfig())), SHARDING_RULE)
    other = dataclasses.replace(config, precision=PrecisionConfig(dtype="float32"))
    run_ranks(_check_refused, 2, resuming(other), DTYPE_RULE)
    assert _folder(config) == before  # a refused resume leaves the folder alone


@pytest.mark.parametrize(("rows", "read"), [(2, [4, 8, 10, 12, 14, 16]), (8, [4, 8, 16])])
def test_run_that_changes_its_batch_reads_the_same_rows_and_says_what_changed(
    tmp_path: Path, sources: Any, rows: int, read: list[int]
) -> None:
    whole = make_config(tmp_path / "run", sources, steps=4, precision=PrecisionConfig(dtype="float32"))
    stopped = dataclasses.replace(whole, train=dataclasses.replace(whole.train, stop_at_step=2))
    changed = dataclasses.replace(
        whole,
        train=dataclasses.replace(whole.train, global_batch_size=rows),
        optimizer=dataclasses.replace(whole.optimizer, adam_beta1=0.8),
    )
    run_ranks(check_trains, 1, stopped)
    run_ranks(check_trains, 1, resuming(changed))
    history, plan = read_history(whole), json.loads((whole.folder / "plan.json").read_text())
    assert [record["consumed_samples"] for record in history] == read and plan["num_samples"] == read[-1]
    rates = [learning_rate(upto, config=whole.optimizer, total=read[-1]) for upto in read]
    assert [record["lr"] for record in history] == pytest.approx(rates)
    log = (whole.folder / "logs/rank_0.log").read_text()
    warnings = [line.partition("from here on ")[2] for line in log.splitlines() if " WARNING " in line]
    assert warnings == ["optimizer.adam_beta1: 0.9 -> 0.8", f"train.global_batch_size: 4 -> {rows}"]


def test_a_full_disk_at_rank_0_is_an_error_of_all_ranks(tmp_path: Path) -> None:
    run_ranks(_check_full_disk, 2, tmp_path / "step_1")


def _folder(config: PretrainConfig) -> dict[str, str]:
    """Contents of the files beside the checkpoints and logs."""
    return {path.name: path.read_text() for path in config.folder.iterdir() if path.is_file()}


def _check_trains_in_small_buckets(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    """One parameter to a bucket; a norm of 32 values is padded to 128."""
    from megatron_speech.training import engine

    engine.DistributedDataParallelConfig = partial(engine.DistributedDataParallelConfig, bucket_size=1)
    check_trains(rank, world_size, init_method, config)


def _check_killed(rank: int, world_size: int, init_method: str, config: PretrainConfig, killed_at: str) -> None:
    """Rank 0 dies by SIGKILL right after the step, or in the last moment before the checkpoint gets its name."""
    from megatron_speech.checkpoint import folder
    from megatron_speech.training import loop

    event, number = killed_at.split()
    train_step, complete = loop.train_step, folder.complete
    calls = 0

    def dying_step(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        result = train_step(*args, **kwargs)
        if event == "step" and calls == int(number) and rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def dying_save(partial: Path) -> None:
        if event == "save" and partial.name == f"step_{number}.partial":
            os.kill(os.getpid(), signal.SIGKILL)
        complete(partial)

    loop.train_step, folder.complete = dying_step, dying_save
    check_trains(rank, world_size, init_method, config)


def _check_signalled(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.training import loop

    train_step = loop.train_step
    calls = 0

    def signalled_step(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2 and rank == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        return train_step(*args, **kwargs)

    loop.train_step = signalled_step
    check_trains(rank, world_size, init_method, config)


def _check_other_plan_is_refused(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    rule = r"stages\[0\] samples: 8, was 12.*data\.extend_plan=true to follow this one after the 8 samples"
    with pytest.raises(ValueError, match=rule):
        check_trains(rank, world_size, init_method, config)


def _check_refused(rank: int, world_size: int, init_method: str, config: PretrainConfig, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        check_trains(rank, world_size, init_method, config)


def _check_full_disk(rank: int, world_size: int, init_method: str, path: Path) -> None:
    from megatron_speech.checkpoint import folder
    from megatron_speech.checkpoint.distributed.save_load import save_checkpoint
    from megatron_speech.parallel import groups
    from megatron_speech.parallel.layout import ParallelLayout

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    parallel = ParallelConfig()
    layout = ParallelLayout.of(parallel, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    facts = {"model": MODEL, "vocabulary": VOCABULARY, "parallel": parallel, "state": CheckpointState(step=0)}
    for writer in ("write_facts", "checksums", "write_checksums", "complete"):
        with pytest.MonkeyPatch.context() as patch:
            if rank == 0:
                patch.setattr(folder, writer, full)
            with pytest.raises(OSError, match="No space left"):
                save_checkpoint(path, chunks=[], optimizer=None, **facts)
        assert not path.exists()
    groups.shutdown()
