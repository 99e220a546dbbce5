"""Two processes that are to make one output take turns."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.lock import alone


def test_processes_take_turns_and_leave_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    output, inside, said = tmp_path / "made", tmp_path / "inside", context.Queue()
    with alone(output):
        inside.mkdir()
        others = [context.Process(target=_in_turn, args=(output, inside, said)) for _ in range(3)]
        for other in others:
            other.start()
        assert [said.get(timeout=60) for _ in others] == ["waits"] * 3
        time.sleep(0.1)  # without a lock they would enter now
        inside.rmdir()
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    with pytest.raises(KeyError), alone(output):
        raise KeyError
    assert not list(tmp_path.iterdir())


def _in_turn(output: Path, inside: Path, said: Any) -> None:
    said.put("waits")
    with alone(output):
        inside.mkdir()  # fails where another is
        time.sleep(0.01)
        inside.rmdir()
