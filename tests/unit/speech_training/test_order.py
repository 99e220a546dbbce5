"""Which utterances a step learns from: mixed by weight, read in epochs, cut into batches, divided among ranks."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.speech_training.order import Cursor, Order, StepBatch, parts_of

SECOND = 16000


def order_of(*sizes: int, weights: list[float] | None = None, batch_seconds: float = 20.0, seed: int = 0) -> Order:
    rng = np.random.default_rng(5)
    samples = [rng.integers(SECOND // 2, 3 * SECOND, size) for size in sizes]
    names = [f"source {number}" for number in range(len(sizes))]
    return Order(samples, names, weights or [1.0] * len(sizes), batch_seconds=batch_seconds, seed=seed)


def pairs(batch: StepBatch) -> list[tuple[int, int]]:
    return list(zip(batch.sources.tolist(), batch.utterances.tolist(), strict=True))


def test_an_epoch_holds_every_utterance_once() -> None:
    order = order_of(900)
    for epoch in (0, 1):
        _, utterances = order.draws(900 * epoch, 900 * (epoch + 1))
        assert sorted(utterances.tolist()) == list(range(900))
    assert order.draws(0, 900)[1].tolist() != order.draws(900, 1800)[1].tolist()


def test_weights_are_shares_of_the_utterances_drawn() -> None:
    order = order_of(50, 1000, weights=[1.0, 3.0])
    drawn = [source for batch in islice(order.steps(Cursor()), 400) for source in batch.sources.tolist()]
    assert drawn.count(1) / len(drawn) == pytest.approx(0.75, abs=0.01)
    # The small source is read in epochs of its own.
    sources, utterances = order.draws(0, 400)
    small = utterances[sources == 0]
    assert len(small) == 100 and np.bincount(small, minlength=50).tolist() == [2] * 50


def test_batches_hold_their_seconds_and_are_sorted_by_length() -> None:
    for batch in islice(order_of(300, 300).steps(Cursor()), 100):
        assert len(batch) * batch.samples[-1] <= 20 * SECOND
        assert (np.diff(batch.samples) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 150), st.integers(0, 3))
def test_a_cursor_is_where_the_order_goes_on(step: int, seed: int) -> None:
    order = order_of(120, 40, weights=[2.0, 1.0], seed=seed)
    batches = list(islice(order.steps(Cursor()), step + 3))
    cursor = batches[step - 1].after if step else Cursor()
    again = list(islice(order_of(120, 40, weights=[2.0, 1.0], seed=seed).steps(cursor), 3))
    assert [pairs(batch) for batch in again] == [pairs(batch) for batch in batches[step:]]


def test_seeds_and_stretches_have_their_own_order() -> None:
    first, other = (list(islice(order_of(300, seed=seed).steps(Cursor()), 40)) for seed in (0, 1))
    assert [pairs(batch) for batch in first] != [pairs(batch) for batch in other]
    assert len({tuple(pairs(batch)) for batch in first}) == 40
    lengths = [int(batch.samples[-1]) for batch in first]
    assert lengths != sorted(lengths)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.one_of(st.none(), st.floats(1, 40)))
def test_ranks_divide_a_batch_whatever_the_world(clips: int, world_size: int, seconds: float | None) -> None:
    samples = np.sort(np.random.default_rng(clips).integers(1, 3 * SECOND, clips))
    none = np.zeros(clips, np.int64)
    batch = StepBatch(sources=none, utterances=none, samples=samples, after=Cursor())
    parts = parts_of(batch, world_size=world_size, micro_batch_seconds=seconds)
    assert len(parts) == world_size and len({len(rank) for rank in parts}) == 1
    assert sorted(place for rank in parts for part in rank for place in part) == list(range(clips))
    if seconds is None:
        assert len(parts[0]) == 1
    else:
        longest = max(len(part) for rank in parts for part in rank)
        assert longest == 1 or longest * int(samples[-1]) <= seconds * SECOND
