"""The test helper itself: the earliest error is the one shown, and ranks that hang are named."""

from __future__ import annotations

import os
import time

import pytest

from tests.ranks import run_ranks


def test_the_earliest_error_is_raised_with_its_rank() -> None:
    with pytest.raises(AssertionError, match=r"earliest:\nrank 1\n(.|\n)*the cause"):
        run_ranks(_fail_in_turn, 3)


def test_hung_ranks_are_killed_and_named() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"ranks \[1\] of 2"):
        run_ranks(_hang, 2, timeout=5)
    assert time.monotonic() - start < 60


def test_a_rank_that_dies_without_a_word_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"exit codes \{0: 3\}"):
        run_ranks(_die, 1)


def _fail_in_turn(rank: int, world_size: int, init_method: str) -> None:
    time.sleep({0: 1.0, 1: 0.0, 2: 2.0}[rank])
    raise ValueError("the cause" if rank == 1 else "its echo")


def _hang(rank: int, world_size: int, init_method: str) -> None:
    time.sleep(60 * rank)


def _die(rank: int, world_size: int, init_method: str) -> None:
    os._exit(3)
