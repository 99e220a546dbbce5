"""The miniature's estimate of its clock follows the budget and the machine's speed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from megatron_speech.examples.steps import miniature_estimate as estimate
from megatron_speech.examples.steps.miniature import steps
from megatron_speech.examples.steps.miniature_budget import AMOUNTS, amount

ROOT = Path(__file__).resolve().parents[1]


def test_every_amount_of_the_budget_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = estimate.estimate(90, estimate.MEASURED)
    for name in estimate.AMOUNTS:
        doubled = partial(_doubled, estimate.amount, name)
        with monkeypatch.context() as patched:
            patched.setattr(estimate, "amount", doubled)
            assert estimate.estimate(90, estimate.MEASURED) > usual, name


def _doubled(amount: Callable[[str, float], int], name: str, asked: str, minutes: float) -> int:
    return amount(asked, minutes) * (2 if asked == name else 1)


def test_more_work_takes_longer() -> None:
    clocks = [estimate.estimate(minutes, estimate.MEASURED) for minutes in (1, 4, 8, 12, 20, 45, 90, 180)]
    assert all(first < second for first, second in pairwise(clocks))


def test_half_the_speed_takes_twice_as_long() -> None:
    half = {kind: rate / 2 for kind, rate in estimate.MEASURED.items()}
    assert estimate.estimate(20, half) == pytest.approx(2 * estimate.estimate(20, estimate.MEASURED))


@pytest.mark.parametrize("kind", ["training", "float32", "python"])
def test_each_kind_of_work_counts(kind: str) -> None:
    slower = {**estimate.MEASURED, kind: estimate.MEASURED[kind] / 2}
    assert estimate.estimate(20, slower) > 1.05 * estimate.estimate(20, estimate.MEASURED)


@pytest.mark.parametrize("minutes", [8, 20, 90])
def test_the_steps_share_the_whole(minutes: int) -> None:
    """Every estimated second belongs to an existing step; downloads are not estimated."""
    seconds = estimate.seconds_by_step(minutes, estimate.MEASURED)
    names = {
        each.name for each in steps({name: amount(name, minutes) for name in AMOUNTS}, assets="ci", pretrain="pretrain")
    }
    assert set(seconds) <= names - {"fetch", "unpack"}
    assert sum(seconds.values()) == pytest.approx(estimate.estimate(minutes, estimate.MEASURED))


def test_the_user_is_given_one_line() -> None:
    program = "from megatron_speech.examples.steps.miniature_estimate import print_estimate; print_estimate(20)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.fullmatch(
        r"estimate: about (\d+) minutes after the downloads "
        r"\(probe: training (\d+), float32 (\d+), Python (\d+) rounds per second\)\n",
        done.stdout,
    )
    assert found and all(int(number) > 0 for number in found.groups()), done.stdout
