"""The order's arithmetic: exact totals, small deviations, bijections, locality, and values that must never change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.data.plan.order import consumed, largest_remainder, mix, mixed, split
from megatron_speech.data.plan.permutation import epoch_rows, permute
from megatron_speech.randomness import Ints, named_keys, splitmix64

BUDGETS = st.lists(st.integers(0, 400), min_size=1, max_size=8).filter(lambda budgets: sum(budgets) > 0)
WINDOWS = st.integers(10, 300)


def _mix(numbers: Ints, budgets: list[int], window: int) -> tuple[Ints, Ints]:
    return mix(numbers, budgets, window=window, seed=0, name="stage 0")


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
    counts = _counts(split(np.arange(total), budgets), len(budgets))
    assert counts[-1].tolist() == budgets
    ideal = np.arange(total + 1)[:, None] * np.array(budgets) / total
    assert np.abs(counts - ideal).max() < 3
    for first in (0, total // 3, total):
        assert consumed(first, budgets) == counts[first].tolist()


@settings(deadline=None, max_examples=50)
@given(budgets=BUDGETS, window=WINDOWS, data=st.data())
def test_a_mixture_reads_every_source_in_order_and_is_near_its_share_at_windows(
    budgets: list[int], window: int, data: st.DataObject
):
    total = sum(budgets)
    source, before = _mix(np.arange(total), budgets, window)
    counts = _counts(source, len(budgets))
    assert counts[-1].tolist() == budgets
    assert (before == counts[np.arange(total), source]).all()  # however far: nothing is skipped, nothing comes twice
    ends = np.arange(0, total, window)
    assert np.abs(counts[ends] - ends[:, None] * np.array(budgets) / total).max() < 3
    first = data.draw(st.integers(0, total))
    assert mixed(first, budgets, window=window, seed=0, name="stage 0") == counts[first].tolist()


@settings(deadline=None, max_examples=50)
@given(budgets=BUDGETS, window=WINDOWS, data=st.data())
def test_a_sample_does_not_depend_on_what_is_asked_with_it(budgets: list[int], window: int, data: st.DataObject):
    total = sum(budgets)
    source, before = _mix(np.arange(total), budgets, window)
    asked = np.array(data.draw(st.lists(st.integers(0, total - 1), max_size=20)), np.int64)
    some_source, some_before = _mix(asked, budgets, window)
    assert (some_source == source[asked]).all() and (some_before == before[asked]).all()


def test_ranks_see_no_periodic_pattern():
    budgets = [5000, 5000]
    bare = split(np.arange(10_000), budgets)
    source, _ = _mix(np.arange(10_000), budgets, 1000)
    for stride in (2, 4, 8, 64):
        assert abs(bare[::stride].mean() - 0.5) == 0.5  # unshuffled, a rank would see one source alone
        seen = source[::stride]
        assert abs(seen.mean() - 0.5) < 4 * 0.5 / len(seen) ** 0.5


@settings(deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 5), epoch=st.integers(0, 2))
def test_permutations_are_bijections(size: int, seed: int, epoch: int):
    keys = named_keys(seed, "text", np.full(size, epoch))
    assert sorted(permute(np.arange(size), size, keys).tolist()) == list(range(size))


@settings(deadline=None)
@given(rows=st.integers(1, 3000), chunk=st.integers(1, 200), open_chunks=st.integers(1, 70), epoch=st.integers(0, 3))
def test_an_epoch_reads_every_row_once_and_opens_few_chunks(rows: int, chunk: int, open_chunks: int, epoch: int):
    keys = named_keys(0, "text", np.full(rows, epoch))
    order = epoch_rows(np.arange(rows), rows, keys, chunk=chunk, open_chunks=open_chunks)
    assert sorted(order.tolist()) == list(range(rows))
    chunks = order // chunk
    _, opened = np.unique(chunks, return_index=True)
    _, closed = np.unique(chunks[::-1], return_index=True)
    changes = np.bincount(opened, minlength=rows + 1) - np.bincount(rows - closed, minlength=rows + 1)
    assert changes.cumsum().max() <= open_chunks


def test_a_row_of_an_epoch_does_not_depend_on_what_is_asked_with_it():
    sizes = {"chunk": 16, "open_chunks": 4}
    epochs = np.arange(500) % 3
    together = epoch_rows(np.arange(500), 500, named_keys(0, "text", epochs), **sizes)
    for at in (0, 17, 499):
        assert epoch_rows(np.array([at]), 500, named_keys(0, "text", epochs[[at]]), **sizes) == together[at]


def test_the_short_chunk_has_no_fixed_place():
    found = set()
    for epoch in range(20):
        order = epoch_rows(np.arange(50), 50, named_keys(0, "text", np.full(50, epoch)), chunk=8, open_chunks=1)
        found.add(int(np.flatnonzero(order == 49)[0]) // 8)
    assert len(found) > 4


def test_epochs_sources_and_seeds_differ():
    positions = np.arange(1000)
    sizes = {"chunk": 8, "open_chunks": 4}
    orders = [
        tuple(epoch_rows(positions, 1000, named_keys(seed, name, np.full(1000, epoch)), **sizes).tolist())
        for seed in (0, 1)
        for name in ("text", "speech")
        for epoch in (0, 1)
    ]
    assert len(set(orders)) == 8


@pytest.mark.parametrize(("rows", "limit"), [(7, 22.5), (14, 34.5)])
def test_rows_land_everywhere_equally_often(rows: int, limit: float):
    draws = 1000 * rows
    keys = named_keys(0, "text", np.arange(draws))
    for landed in (
        permute(np.full(draws, 3), rows, keys),
        epoch_rows(np.full(draws, 5), rows, keys, chunk=rows // 7, open_chunks=2),
    ):
        counts = np.bincount(landed, minlength=rows)
        assert ((counts - 1000) ** 2 / 1000).sum() < limit  # chi-square, rows - 1 degrees of freedom, p = 0.001


def test_the_hash_and_the_order_never_change():
    # Reference values of SplitMix64: a change would silently reorder every run that resumes.
    assert splitmix64(np.array([0, 1], np.uint64)).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]
    keys = named_keys(0, "text", np.zeros(8, np.int64))
    assert permute(np.arange(8), 8, keys).tolist() == [5, 4, 1, 6, 7, 0, 2, 3]
    assert epoch_rows(np.arange(8), 8, keys, chunk=3, open_chunks=2).tolist() == PINNED_ROWS
    assert _mix(np.arange(8), [5, 3], 8)[0].tolist() == PINNED_SOURCES


def test_large_plans_are_computed_exactly():
    budgets = [1 << 29, 3, (1 << 29) - 3, 1 << 30]
    source, before = _mix(np.array([0, (1 << 31) - 1]), budgets, 4096)
    assert (before < np.array(budgets)[source]).all()
    assert consumed(1 << 31, budgets) == budgets
    with pytest.raises(AssertionError):
        _mix(np.array([1 << 31]), budgets, 4096)
    rows = (1 << 31) + 77
    found = epoch_rows(np.array([0, rows - 1]), rows, named_keys(0, "a", np.zeros(2, int)), chunk=128, open_chunks=64)
    assert ((found >= 0) & (found < rows)).all()


def _counts(source: Ints, num_sources: int) -> Ints:
    """[samples + 1, sources] samples of each source among the first ones."""
    counts = np.zeros((len(source) + 1, num_sources), np.int64)
    counts[1:] = np.cumsum(source[:, None] == np.arange(num_sources), axis=0)
    return counts


PINNED_ROWS = [6, 7, 1, 0, 2, 5, 3, 4]
PINNED_SOURCES = [1, 0, 0, 0, 1, 0, 0, 1]
