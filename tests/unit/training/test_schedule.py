"""The learning rate at its corners, the batch ramp, and the number of steps in a budget."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.training import BatchRampConfig, OptimizerConfig, PretrainConfig, TrainConfig
from megatron_speech.training.schedule import batch_size, learning_rate, num_steps, steps

RAMP = TrainConfig(global_batch_size=32, batch_ramp=BatchRampConfig(start=8, increment=8, samples=300))


@pytest.mark.parametrize(("tokens", "rows"), [(1, 1), (16, 1), (17, 2), (1000 * 16, 1000)])
def test_budget_is_rounded_up_to_whole_rows(tokens: int, rows: int) -> None:
    assert _run(tokens).num_samples == rows


def test_a_budget_that_nobody_gave_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"train\.tokens is missing; .* data\.stages"):
        _ = _run(None).num_samples


def _run(tokens: int | None) -> PretrainConfig:
    sources = {"text": SourceConfig(folder=Path("text"), task="text")}
    data = DataConfig(seq_length=16, sources=sources)
    return PretrainConfig(folder=Path("run"), data=data, train=TrainConfig(tokens=tokens))


@settings(deadline=None, max_examples=50)
@given(
    start=st.integers(1, 20),
    increment=st.integers(1, 10),
    times=st.integers(1, 6),
    samples=st.integers(1, 700),
    total=st.integers(1, 1500),
    at=st.floats(0, 1),
)
def test_steps_cover_the_budget_and_go_on_from_any_of_them(
    start: int, increment: int, times: int, samples: int, total: int, at: float
) -> None:
    ramp = BatchRampConfig(start=start, increment=increment, samples=samples)
    train = TrainConfig(global_batch_size=start + times * increment, batch_ramp=ramp)
    whole = list(steps(train, first=0, total=total))
    assert whole[0] == (0, start)
    assert all(first + size == following for (first, size), (following, _) in pairwise(whole))
    assert whole[-1][0] < total <= sum(whole[-1])
    assert all(small <= large for (_, small), (_, large) in pairwise(whole))
    assert {size for _, size in whole} <= set(train.batch_sizes)
    assert all(size == train.global_batch_size for first, size in whole if first >= samples)
    resumed = int(at * (len(whole) - 1))
    assert list(steps(train, first=whole[resumed][0], total=total)) == whole[resumed:]
    assert num_steps(train, first=whole[resumed][0], total=total) == len(whole) - resumed


def test_the_ramp_grows_where_megatron_cores_does() -> None:
    from megatron.core.num_microbatches_calculator import RampupBatchsizeNumMicroBatchesCalculator

    theirs = RampupBatchsizeNumMicroBatchesCalculator(32, 1, 2, False, 0, 8, 8, 300)
    for consumed in range(0, 400, 4):
        theirs.update(consumed, consistency_check=False)
        assert batch_size(RAMP, consumed) == theirs.current_global_batch_size, consumed


def test_a_trillion_tokens_are_counted_without_walking_through_them() -> None:
    train = TrainConfig(
        global_batch_size=1024, batch_ramp=BatchRampConfig(start=128, increment=128, samples=24_000_000)
    )
    count = num_steps(train, first=0, total=122_070_312)
    assert 122_070_312 / 1024 < count < 122_070_312 / 128


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": 8, "increment": 7, "samples": 10}, "start=8 plus whole increments of 7 must reach"),
        ({"start": 32, "increment": 8, "samples": 10}, "start=32 plus whole increments"),
        ({"start": 6, "increment": 2, "samples": 10}, r"its step of 6 rows must be a multiple of train\.micro"),
        ({"start": 8, "increment": 8, "samples": 0}, r"train\.batch_ramp\.samples=0 must be at least 1"),
    ],
)
def test_an_impossible_ramp_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(global_batch_size=32, micro_batch_size=4, batch_ramp=BatchRampConfig(**values))


@pytest.mark.parametrize("style", ["linear", "cosine"])
def test_rate_rises_to_the_peak_and_ends_at_the_minimum(style: str) -> None:
    config = OptimizerConfig(lr=1.0, min_lr=0.1, lr_decay_style=style, lr_warmup_fraction=0.1)
    rates = [learning_rate(upto, config=config, total=400) for upto in range(4, 401, 4)]
    assert rates[0] == pytest.approx(0.1) and rates[4] == pytest.approx(0.5) and rates[9] == 1.0
    assert rates[54] == pytest.approx(0.55)  # half way between the end of the warm-up and the end
    assert rates[99] == pytest.approx(0.1)
    assert all(late < early for early, late in pairwise(rates[9:]))


def test_constant_rate_stays_at_the_peak_after_the_warm_up() -> None:
    config = OptimizerConfig(lr=2.0, lr_decay_style="constant", lr_warmup_fraction=0.5)
    assert [learning_rate(upto, config=config, total=4) for upto in (1, 2, 3, 4)] == [1.0, 2.0, 2.0, 2.0]


def test_no_warm_up_and_a_single_step_are_defined() -> None:
    config = OptimizerConfig(lr=1.0, min_lr=0.5, lr_warmup_fraction=0.0)
    assert learning_rate(1, config=config, total=1) == 0.5
    assert learning_rate(1, config=OptimizerConfig(lr=1.0, min_lr=0.5, lr_warmup_fraction=1.0), total=1) == 1.0


def test_the_rate_follows_samples_whatever_the_steps_hold() -> None:
    config = OptimizerConfig(lr=1.0, min_lr=0.0, lr_warmup_fraction=0.0)
    for first, size in steps(RAMP, first=0, total=1000):
        upto = min(first + size, 1000)
        assert learning_rate(upto, config=config, total=1000) == pytest.approx(1 - upto / 1000)
