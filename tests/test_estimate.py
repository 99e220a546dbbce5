"""The miniature's estimate of its clock follows the budget and the machine's speed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "miniature"


@pytest.fixture(scope="module")
def estimate() -> ModuleType:
    """examples/miniature/estimate.py, which imports its neighbour as a script does."""
    spec = importlib.util.spec_from_file_location("estimate", FOLDER / "estimate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def test_every_amount_of_the_budget_counts(estimate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = estimate.estimate(20, estimate.MEASURED)
    for name in estimate.AMOUNTS:
        doubled = partial(_doubled, estimate.amount, name)
        with monkeypatch.context() as patched:
            patched.setattr(estimate, "amount", doubled)
            assert estimate.estimate(20, estimate.MEASURED) > usual, name


def _doubled(amount: Callable[[str, float], int], name: str, asked: str, minutes: float) -> int:
    return amount(asked, minutes) * (2 if asked == name else 1)


def test_more_work_takes_longer(estimate: ModuleType) -> None:
    clocks = [estimate.estimate(minutes, estimate.MEASURED) for minutes in (1, 4, 8, 12, 20, 45, 90, 180)]
    assert all(first < second for first, second in pairwise(clocks))


def test_half_the_speed_takes_twice_as_long(estimate: ModuleType) -> None:
    half = {kind: rate / 2 for kind, rate in estimate.MEASURED.items()}
    assert estimate.estimate(20, half) == pytest.approx(2 * estimate.estimate(20, estimate.MEASURED))


@pytest.mark.parametrize("kind", ["training", "float32", "python"])
def test_each_kind_of_work_counts(estimate: ModuleType, kind: str) -> None:
    slower = {**estimate.MEASURED, kind: estimate.MEASURED[kind] / 2}
    assert estimate.estimate(20, slower) > 1.05 * estimate.estimate(20, estimate.MEASURED)


def test_run_sh_is_given_one_line() -> None:
    done = subprocess.run([sys.executable, FOLDER / "estimate.py", "20"], capture_output=True, text=True, check=True)
    found = re.fullmatch(
        r"estimate: about (\d+) minutes after the downloads "
        r"\(probe: training (\d+), float32 (\d+), Python (\d+) rounds per second\)\n",
        done.stdout,
    )
    assert found and all(int(number) > 0 for number in found.groups()), done.stdout
