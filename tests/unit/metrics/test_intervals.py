"""Intervals, exact tests and power agree with tables and with plain arithmetic."""

import math

import numpy as np
import pytest
from scipy import stats

from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.intervals import accuracy, mcnemar, mean_interval, paired_difference
from megatron_speech.metrics.power import items_needed, smallest_difference


def test_the_same_seed_gives_the_same_interval():
    values = np.linspace(0, 1, 200).tolist()  # more values than are drawn as counts
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1) != mean_interval(values, seed=2)
    credits = [0.0, 0.5, 1.0] * 30
    assert mean_interval(credits, seed=1) == mean_interval(credits, seed=1)


def test_counts_of_values_and_items_are_drawn_alike():
    credits = np.array([0.0, 0.5, 1.0] * 60)
    by_counts = mean_interval(credits.tolist(), resamples=20_000)
    by_items = mean_interval((credits + np.linspace(0, 1e-9, 180)).tolist(), resamples=20_000)
    assert by_counts.low == pytest.approx(by_items.low, abs=0.004)
    assert by_counts.high == pytest.approx(by_items.high, abs=0.004)


def test_wilson_has_a_width_even_if_all_items_agree():
    low, high = (mean_interval([value] * 20) for value in (0.0, 1.0))
    assert (low.value, low.low, high.value, high.high) == (0, 0, 1, 1)
    assert low.high == pytest.approx(1 - high.low) == pytest.approx(0.1611, abs=1e-4)  # z² / (n + z²)


@pytest.mark.parametrize(("credit", "low", "high"), [(0.0, 0, 0.6576), (1.0, 0.3424, 1), (0.5, 0.0945, 0.9055)])
def test_an_accuracy_of_two_items_that_agree_has_a_wide_interval(credit: float, low: float, high: float):
    found = accuracy([credit, credit], Bootstrap())  # bounds: Wilson's, with z² = 3.8415
    assert (found.value, found.items) == (credit, 2)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_an_accuracy_of_items_that_differ_keeps_the_interval_of_older_results():
    credits = [0.0, 0.5, 1.0, 1.0, 1.0]
    assert accuracy(credits, Bootstrap(seed=3)) == Bootstrap(seed=3).mean(credits)


def test_pairing_narrows_the_interval():
    random = np.random.default_rng(0)
    easy = random.random(400) < 0.7
    first, second = (np.where(random.random(400) < 0.1, ~easy, easy).astype(float) for _ in range(2))
    paired, half = paired_difference(first, second), (mean_interval(first.tolist()), mean_interval(second.tolist()))
    unpaired = math.hypot(*(each.high - each.low for each in half))
    assert paired.high - paired.low < 0.8 * unpaired


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (6, 0, 2 / 2**6), (8, 1, 2 * (1 + 9) / 2**9), (1, 8, 2 * (1 + 9) / 2**9)],
)
def test_mcnemar_is_exact(better: int, worse: int, p: float):
    first = [0.0] * better + [1.0] * worse + [1.0] * 7
    second = [1.0] * better + [0.0] * worse + [1.0] * 7
    assert mcnemar(first, second) == pytest.approx(p)


@pytest.mark.parametrize(
    ("points", "similar", "different"),
    [(1, 15_700, 31_400), (2, 3_900, 7_800), (3, 1_700, 3_500), (5, 625, 1_250)],
)
def test_items_for_eighty_percent_power(points: int, similar: int, different: int):
    assert items_needed(points / 100, discordant=0.2) == pytest.approx(similar, rel=0.03)
    assert items_needed(points / 100, discordant=0.4) == pytest.approx(different, rel=0.03)
    assert smallest_difference(items_needed(points / 100, discordant=0.2), discordant=0.2) <= points / 100


def test_mcnemar_sees_the_smallest_difference_in_eighty_percent_of_all_cases():
    items, discordant = 1000, 0.2
    difference = smallest_difference(items, discordant=discordant)
    random, seen = np.random.default_rng(0), 0
    for _ in range(2000):
        unlike = random.binomial(items, discordant)
        better = random.binomial(unlike, (1 + difference / discordant) / 2)
        seen += stats.norm.sf(abs(2 * better - unlike) / math.sqrt(unlike)) < 0.025
    assert 0.78 <= seen / 2000 <= 0.82


def test_few_items_see_nothing_smaller_than_their_discordant_share():
    assert smallest_difference(5, discordant=0.2) == 0.2
