"""The learning rate at its corners, and the number of steps in a budget."""

from __future__ import annotations

from itertools import pairwise

import pytest

from megatron_speech.config.training import OptimizerConfig, TrainConfig
from megatron_speech.training.schedule import learning_rate, num_steps


@pytest.mark.parametrize(
    ("tokens", "steps"), [(1, 1), (8 * 16, 1), (8 * 16 + 1, 2), (1000 * 8 * 16, 1000), (1000 * 8 * 16 - 1, 1000)]
)
def test_budget_is_rounded_up_to_whole_global_batches(tokens: int, steps: int) -> None:
    assert num_steps(TrainConfig(tokens=tokens, global_batch_size=8), seq_length=16) == steps


@pytest.mark.parametrize("style", ["linear", "cosine"])
def test_rate_rises_to_the_peak_and_ends_at_the_minimum(style: str) -> None:
    config = OptimizerConfig(lr=1.0, min_lr=0.1, lr_decay_style=style, lr_warmup_fraction=0.1)  # type: ignore[arg-type]
    rates = [learning_rate(step, config=config, total_steps=100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[4] == pytest.approx(0.5) and rates[9] == 1.0
    assert rates[54] == pytest.approx(0.55)  # half way between the end of the warm-up and the end
    assert rates[99] == pytest.approx(0.1)
    assert all(late < early for early, late in pairwise(rates[9:]))


def test_constant_rate_stays_at_the_peak_after_the_warm_up() -> None:
    config = OptimizerConfig(lr=2.0, lr_decay_style="constant", lr_warmup_fraction=0.5)
    assert [learning_rate(step, config=config, total_steps=4) for step in range(4)] == [1.0, 2.0, 2.0, 2.0]


def test_no_warm_up_and_a_single_step_are_defined() -> None:
    config = OptimizerConfig(lr=1.0, min_lr=0.5, lr_warmup_fraction=0.0)
    assert learning_rate(0, config=config, total_steps=1) == 0.5
