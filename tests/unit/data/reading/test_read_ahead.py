"""Reading ahead changes nothing but the time."""

from __future__ import annotations

import pytest

from megatron_speech.data.reading.read_ahead import read_ahead


def test_reading_ahead_keeps_order_and_stays_within_its_bound() -> None:
    asked: list[int] = []

    def read(numbers: list[int]) -> list[int]:
        asked.extend(numbers)
        return numbers

    steps = ([[2 * step], [2 * step + 1]] for step in range(10))
    batches = read_ahead(steps, read, microbatches=4)
    assert next(batches) == [[0], [1]]
    assert len(asked) <= 2 + 4 + 2
    assert list(batches) == [[[2 * step], [2 * step + 1]] for step in range(1, 10)]


def test_an_error_of_the_reader_is_raised_at_its_step() -> None:
    def read(numbers: list[int]) -> list[int]:
        if numbers == [3]:
            raise ValueError("shard.tar: damaged")
        return numbers

    batches = read_ahead(([[step]] for step in range(6)), read, microbatches=2)
    assert [next(batches) for _ in range(3)] == [[[0]], [[1]], [[2]]]
    with pytest.raises(ValueError, match="damaged"):
        next(batches)
