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


def test_an_arm_trains_on_its_own_documents_and_settings(tmp_path: Path) -> None:
    root = example_runs.make_root(tmp_path)
    words = ["--run-dir", str(root / "run"), "--seeds", "1", "--arms", "spans_2 loss_on_text"]
    done, commands = example_runs.run(root, "claim", *words)
    assert done.returncode == 0, done.stderr
    first, second = (dict(zip(words[1::2], words[2::2], strict=True)) for words in commands if words[0] == "pretrain")
    assert first["--data.sources.interleaved.folder"] == "packed/spans_2"
    assert "--data.sources.interleaved.folder" not in second
    assert second["--data.sources.interleaved.loss.speech_weight"] == "0"
    made = [words for words in commands if words[0] == "build_interleaved"]
    assert [words[words.index("--output") + 1] for words in made if "--output" in words] == ["documents/spans_2"]


def test_a_budget_trains_the_two_main_arms_once_with_less_work(tmp_path: Path) -> None:
    root = example_runs.make_root(tmp_path)
    done, commands = example_runs.run(root, "claim", "--run-dir", str(root / "run"), "--budget-minutes", "30")
    assert done.returncode == 0, done.stderr
    trained = [dict(zip(words[1::2], words[2::2], strict=True)) for words in commands if words[0] == "pretrain"]
    assert [run["--folder"] for run in trained] == ["arms/interleaved/0/run", "arms/paired/0/run"]
    assert {run["--train.tokens"] for run in trained} == {str(1250 * 8 * 256)}
    other, _ = example_runs.run(root, "claim", "--run-dir", str(root / "run"), "--budget-minutes", "60")
    assert other.returncode == 2 and "minutes=30" in other.stderr, "a run folder keeps its budget"


@pytest.mark.parametrize("words", [["--arms", "nobody"], ["--seeds", "0"], ["--budget-minutes", "0"], ["--what", "x"]])
def test_mistakes_leave_with_status_2(tmp_path: Path, words: list[str]) -> None:
    done, commands = example_runs.run(example_runs.make_root(tmp_path), "claim", *words)
    assert (done.returncode, commands) == (2, []) and "error: " in done.stderr
