"""Intervals cover the truth in 95 % of 2,048 cases, for one mean and for paired differences, from 100 items on.

Cases are drawn by Sobol points instead of random numbers: so many tell the coverage to a tenth of a percent.
The truth varies from case to case, because the coverage of one share jumps with its value.
"""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from megatron_speech.metrics.intervals import mean_interval, paired_difference, ratio_interval, wilson

SIMULATIONS = 11  # as a power of two: 2,048
SIZES = (100, 300, 1000, 2000)


def sobol(dimensions: int) -> np.ndarray:
    return qmc.Sobol(dimensions, seed=0).random_base2(SIMULATIONS).T


@pytest.mark.parametrize("items", SIZES)
def test_the_interval_of_one_mean_covers_the_truth(items: int):
    share, quantile = sobol(2)
    truth = 0.5 + 0.45 * share
    right = stats.binom.ppf(quantile, items, truth).astype(int)
    estimates = [wilson(count, items) for count in right.tolist()]
    covered = [each.low <= value <= each.high for each, value in zip(estimates, truth, strict=True)]
    assert 0.94 <= np.mean(covered) <= 0.96


@pytest.mark.parametrize("items", SIZES)
def test_the_interval_of_a_mean_of_shared_credits_covers_the_truth(items: int):
    share, ties, first, second = sobol(4)
    right, tied = 0.3 + 0.3 * share, 0.05 + 0.2 * ties
    ones = stats.binom.ppf(first, items, right).astype(int)
    halves = stats.binom.ppf(second, items - ones, tied / (1 - right)).astype(int)
    covered = []
    for seed, (one, half, truth) in enumerate(zip(ones, halves, right + tied / 2, strict=True)):
        values = np.repeat([1.0, 0.5, 0.0], [one, half, items - one - half])
        estimate = mean_interval(values.tolist(), seed=seed, resamples=1000)
        covered.append(estimate.low <= truth <= estimate.high)
    assert 0.94 <= np.mean(covered) <= 0.96


@pytest.mark.parametrize("items", SIZES)
def test_the_interval_of_a_paired_difference_covers_the_truth(items: int):
    share, lean, first, second = sobol(4)
    discordant = 0.1 + 0.3 * share
    truth = discordant * (lean - 0.5) / 2
    unlike = stats.binom.ppf(first, items, discordant).astype(int)
    better = stats.binom.ppf(second, unlike, (1 + truth / discordant) / 2).astype(int)
    covered = []
    for seed, (both, up, value) in enumerate(zip(unlike, better, truth, strict=True)):
        old = np.repeat([0.0, 1.0, 1.0], [up, both - up, items - both])
        new = np.repeat([1.0, 0.0, 1.0], [up, both - up, items - both])
        estimate = paired_difference(old, new, seed=seed, resamples=1000)
        covered.append(estimate.low - 1e-12 <= value <= estimate.high + 1e-12)
    assert 0.94 <= np.mean(covered) <= 0.96


@pytest.mark.parametrize("items", SIZES[:2])
def test_the_interval_of_a_difference_of_error_rates_covers_the_truth(items: int):
    random = np.random.default_rng(0)
    covered = []
    for seed in range(2**SIMULATIONS):
        words = random.integers(1, 20, size=items)
        hard = random.random(items)  # longer lines are no harder
        old, new = (random.binomial(words, share * hard) for share in (0.4, 0.3))
        estimate = ratio_interval((new - old).tolist(), words.tolist(), seed=seed, resamples=500)
        covered.append(estimate.low <= -0.05 <= estimate.high)
    assert 0.94 <= np.mean(covered) <= 0.96
