"""Which rank reads which sample, and that reading ahead changes nothing but the time."""

from __future__ import annotations

from itertools import chain

import pytest

from megatron_speech.training.batches import read_ahead, sample_numbers


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro", [1, 2])
def test_ranks_share_a_global_batch_without_loss_or_repetition(ranks: int, micro: int) -> None:
    read = [
        sample_numbers(
            16,
            num_microbatches=8 // (ranks * micro),
            micro_batch_size=micro,
            data_parallel_rank=rank,
            data_parallel_size=ranks,
        )
        for rank in range(ranks)
    ]
    assert sorted(chain.from_iterable(chain.from_iterable(read))) == list(range(16, 24))


def test_reading_ahead_keeps_order_and_stays_within_its_bound() -> None:
    asked: list[int] = []

    def read(numbers: list[int]) -> list[int]:
        asked.extend(numbers)
        return numbers

    steps = ([[2 * step], [2 * step + 1]] for step in range(10))
    batches = read_ahead(steps, read, microbatches=4)  # type: ignore[arg-type]
    assert next(batches) == [[0], [1]]
    assert len(asked) <= 2 + 4 + 2
    assert list(batches) == [[[2 * step], [2 * step + 1]] for step in range(1, 10)]


def test_an_error_of_the_reader_is_raised_at_its_step() -> None:
    def read(numbers: list[int]) -> list[int]:
        if numbers == [3]:
            raise ValueError("shard.tar: damaged")
        return numbers

    batches = read_ahead(([[step]] for step in range(6)), read, microbatches=2)  # type: ignore[arg-type]
    assert [next(batches) for _ in range(3)] == [[[0]], [[1]], [[2]]]
    with pytest.raises(ValueError, match="damaged"):
        next(batches)
