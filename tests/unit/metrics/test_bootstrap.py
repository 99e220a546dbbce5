"""Bootstrap intervals: they cover the truth as often as they say, and resample what is independent."""

import numpy as np
import pytest

from megatron_speech.metrics.bootstrap import Bootstrap


def test_intervals_cover_the_truth():
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        estimate = Bootstrap(seed=trial, resamples=400).mean(random.random(60) < 0.7)
        covered += estimate.low <= 0.7 <= estimate.high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(50.0)
    assert Bootstrap(seed=1).mean(values) == Bootstrap(seed=1).mean(values) != Bootstrap(seed=2).mean(values)


def test_agreement_of_all_items_leaves_no_width():
    estimate = Bootstrap().mean([1.0] * 5)
    assert estimate.rounded().to_json() == {"value": 1.0, "low": 1.0, "high": 1.0, "items": 5}


def test_a_ratio_weighs_items_by_their_denominators():
    estimate = Bootstrap().ratio([10.0, 1.0], [10, 4])
    assert estimate.value == pytest.approx(11 / 14) and (estimate.low, estimate.high) == (0.25, 1.0)
