"""Scalars are robust medians, a left-out group has no say in its own, and the kept ones are what the rows give."""

from __future__ import annotations

import math

import pytest

from megatron_speech.planning.scalars import Observation, fit, left_out_errors, quantiles, scalars
from tests.benchmarks import planner_accuracy
from tests.published_rows import throughput_rows


def _seen(stack: str, group: str, *ratios: float, precision: str = "bf16") -> list[Observation]:
    return [
        Observation(stack=stack, precision=precision, group=group, architecture="hopper", log_ratio=math.log(ratio))
        for ratio in ratios
    ]


def test_one_bad_release_does_not_move_a_scalar() -> None:
    good = _seen("bridge", "a", 0.8, 0.8, 0.8) + _seen("bridge", "b", 0.8) + _seen("bridge", "c", 0.8)
    assert fit(good)["bridge"]["bf16"] == pytest.approx(0.8)
    assert fit(good + _seen("bridge", "a", 0.1))["bridge"]["bf16"] == pytest.approx(0.8)


def test_a_stack_without_rows_takes_its_family() -> None:
    rows = _seen("bridge", "a", 0.8) + _seen("nemo2", "b", 0.8) + _seen("jax", "c", 0.6) + _seen("jax", "d", 0.6)
    factors = fit(rows)
    assert factors["megatron"]["bf16"] == pytest.approx(0.8)
    assert factors["megatron"]["fp8"] == pytest.approx(0.8)
    assert factors["jax"]["nvfp4"] == pytest.approx(0.6)


def test_a_left_out_group_has_no_say() -> None:
    rows = _seen("bridge", "a", 0.8) + _seen("bridge", "b", 0.8) + _seen("bridge", "c", 0.4)
    errors = {each.group: error for each, error in left_out_errors(rows, lambda each: each.group)}
    assert errors["c"] == pytest.approx(0.5)


def test_intervals_hold_nine_tenths() -> None:
    rows = [each for index in range(100) for each in _seen("bridge", str(index), 0.5 + index / 100)]
    low, high = quantiles([(each, math.exp(each.log_ratio)) for each in rows])["any"]
    assert 0.90 <= high - low <= 0.94


def test_the_kept_scalars_are_those_of_the_published_rows() -> None:
    rows, _ = throughput_rows(planner_accuracy.ROWS)
    observed = [planner_accuracy.observation(row) for row in rows]
    for name, factors in fit(observed).items():
        for precision, factor in factors.items():
            assert scalars().factor(name, precision) == pytest.approx(factor, abs=1e-4)
    ends = quantiles(left_out_errors(observed, lambda each: each.group))
    assert scalars().interval("nemo2") == pytest.approx(ends["nemo2"], abs=1e-4)
    assert scalars().interval("torch_fsdp") == pytest.approx(ends["any"], abs=1e-4)


def test_most_published_weak_scaling_losses_are_predicted_within_two_points() -> None:
    rows, _ = throughput_rows(planner_accuracy.ROWS)
    observed = [planner_accuracy.observation(row) for row in rows]
    series = planner_accuracy.weak_scaling(planner_accuracy.paired(rows, observed, lambda each: each.group))
    near = [each for each in series.values() if abs(each["measured"] - each["predicted"]) <= 2]
    assert (len(near), len(series)) >= (21, 27)
    # Fully sharded training loses several points between 128 and 512 GPUs.
    assert all(series[f"mpt-{size} bf16 128-512 (foundry)"]["predicted"] > 5 for size in ("1b", "3b"))
