"""The world of a run, as the environment gives it."""

from __future__ import annotations

import pytest

from megatron_speech.parallel.world import world_from_environment


@pytest.mark.parametrize(
    ("rank", "size", "message"),
    [
        ("0", "abc", "WORLD_SIZE=abc in the environment must be a number of at least 1; unset it"),
        ("0", "0", "WORLD_SIZE=0 in the environment"),
        ("-1", "2", "RANK=-1 in the environment must be a number of at least 0"),
        ("2", "2", "RANK=2 is not below WORLD_SIZE=2"),
    ],
)
def test_an_environment_of_another_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, rank: str, size: str, message: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ValueError, match=message):
        world_from_environment()
