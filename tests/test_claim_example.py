"""examples/claim/run.sh with a python that only notes what it is asked for: arms, seeds, and shares of sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import example_runs


def test_every_arm_is_trained_with_every_seed_on_its_shares(tmp_path: Path) -> None:
    root = example_runs.make_root(tmp_path)
    words = ["--run-dir", str(root / "run"), "--seeds", "2", "--arms", "paired"]
    done, commands = example_runs.run(root, "claim", *words)
    assert done.returncode == 0, done.stderr
    trained = [dict(zip(words[1::2], words[2::2], strict=True)) for words in commands if words[0] == "pretrain"]
    assert [run["--folder"] for run in trained] == ["arms/paired/0/run", "arms/paired/1/run"]
    assert [run["--train.seed"] for run in trained] == ["0", "1"]
    assert all(run["--data.sources.interleaved.weight"] == "0" for run in trained)
    assert all(run["--data.sources.synthesis.weight"] == "0.35" for run in trained)


@pytest.mark.parametrize("words", [["--arms", "nobody"], ["--seeds", "0"], ["--what", "x"]])
def test_mistakes_leave_with_status_2(tmp_path: Path, words: list[str]) -> None:
    done, commands = example_runs.run(example_runs.make_root(tmp_path), "claim", *words)
    assert (done.returncode, commands) == (2, []) and "error: " in done.stderr
