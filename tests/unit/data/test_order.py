"""The order's arithmetic: exact totals, small deviations, bijections, and values that must never change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.data.order import consumed, epoch_keys, largest_remainder, permute, split, splitmix64

BUDGETS = st.lists(st.integers(0, 400), min_size=1, max_size=8).filter(lambda budgets: sum(budgets) > 0)


@given(
    weights=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=9).filter(lambda w: sum(w) > 0),
    total=st.integers(0, 10**9),
)
def test_budgets_add_up_and_stay_within_one_of_their_share(weights: list[float], total: int):
    budgets = largest_remainder(weights, total)
    assert sum(budgets) == total
    for weight, budget in zip(weights, budgets, strict=True):
        assert abs(budget - total * (weight / sum(weights))) <= 1 + 1e-6 * total
        assert weight or not budget


@settings(deadline=None)
@given(budgets=BUDGETS)
def test_splits_are_exact_and_every_prefix_is_near_its_share(budgets: list[int]):
    total = sum(budgets)
    source, before = split(np.arange(total), budgets)
    counts = np.zeros((total + 1, len(budgets)), int)
    counts[1:] = np.cumsum(source[:, None] == np.arange(len(budgets)), axis=0)
    assert counts[-1].tolist() == budgets
    assert (before == counts[np.arange(total), source]).all()
    ideal = np.arange(total + 1)[:, None] * np.array(budgets) / total
    assert np.abs(counts - ideal).max() < 3
    for first in (0, total // 3, total):
        assert consumed(first, budgets) == counts[first].tolist()


@settings(deadline=None)
@given(budgets=BUDGETS, data=st.data())
def test_a_sample_does_not_depend_on_what_is_asked_with_it(budgets: list[int], data: st.DataObject):
    total = sum(budgets)
    source, before = split(np.arange(total), budgets)
    asked = np.array(data.draw(st.lists(st.integers(0, total - 1), min_size=1, max_size=20)))
    some_source, some_before = split(asked, budgets)
    assert (some_source == source[asked]).all() and (some_before == before[asked]).all()


@settings(deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 5), epoch=st.integers(0, 2))
def test_permutations_are_bijections(size: int, seed: int, epoch: int):
    keys = epoch_keys(seed, "text", np.full(size, epoch))
    assert sorted(permute(np.arange(size), size, keys).tolist()) == list(range(size))


def test_epochs_sources_and_seeds_differ():
    positions = np.arange(1000)
    orders = [
        tuple(permute(positions, 1000, epoch_keys(seed, name, np.full(1000, epoch))).tolist())
        for seed in (0, 1)
        for name in ("text", "speech")
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 8


def test_rows_land_everywhere_equally_often():
    size, draws = 7, 7000
    landed = permute(np.full(draws, 3), size, epoch_keys(0, "text", np.arange(draws)))
    counts = np.bincount(landed, minlength=size)
    assert ((counts - draws / size) ** 2 / (draws / size)).sum() < 22.5  # chi-square, 6 degrees of freedom, p = 0.001


def test_the_hash_and_the_order_never_change():
    # Reference values of SplitMix64: a change would silently reorder every run that resumes.
    assert splitmix64(np.array([0, 1], np.uint64)).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]
    assert permute(np.arange(8), 8, epoch_keys(0, "text", np.zeros(8, np.int64))).tolist() == PINNED


def test_large_plans_are_computed_exactly():
    budgets = [1 << 29, 3, (1 << 29) - 3, 1 << 30]
    source, before = split(np.array([0, (1 << 31) - 1]), budgets)
    assert (before < np.array(budgets)[source]).all()
    assert consumed(1 << 31, budgets) == budgets
    with pytest.raises(AssertionError):
        split(np.array([1 << 31]), budgets)


PINNED = [5, 4, 1, 6, 7, 0, 2, 3]
