"""examples/text_to_token/run.sh with a python that only notes what it is asked for: rows, steps, failures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import example_runs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = example_runs.make_root(tmp_path)
    (root / "speech_tokenizer").mkdir()
    (root / "speech_tokenizer" / "manifest.json").write_text("{}")
    return root


def run(root: Path, *words: str, fail: str = "") -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """What the script says, and the commands that it ran."""
    told = ["--run-dir", str(root / "run"), "--tokenizer", str(root / "speech_tokenizer"), *words]
    return example_runs.run(root, "text_to_token", *told, fail=fail)


def test_a_row_learns_from_its_pairs_alone(root: Path) -> None:
    done, commands = run(root, "--rows", "hours_1 letters_16")
    assert done.returncode == 0, done.stderr
    built = [words for words in commands if words[0] == "build_task_documents" and "--utterances.of_first" in words]
    asked = [(words[words.index("--utterances.of_first") + 1], words[words.index("--output") + 1]) for words in built]
    assert asked == [
        (pairs, f"curve/{row}/{part}documents")
        for row, pairs in (("hours_1", "1120"), ("letters_16", "12800"))
        for part in ("", "short/", "middle/")
    ]
    trained = [words for words in commands if words[0] == "train_text_to_token"]
    assert [words[words.index("--folder") + 1] for words in trained] == ["curve/hours_1/run", "curve/letters_16/run"]
    assert sum(words[0] == "text_to_token_curve" for words in commands) == 2
    assert '"stage": "run"' in (root / "run/curve/hours_1/timings.jsonl").read_text()


def test_a_row_that_fails_is_named_and_the_others_go_on(root: Path) -> None:
    done, commands = run(root, "--rows", "hours_1 hours_4", fail="curve/hours_1/packed")
    assert done.returncode == 1 and "failed: hours_1;" in done.stderr
    assert [words[words.index("--folder") + 1] for words in commands if words[0] == "train_text_to_token"] == [
        "curve/hours_4/run"
    ]


@pytest.mark.parametrize("words", [["--rows", "hours_2"], ["--tokenizer", "nowhere"], ["--what", "x"]])
def test_mistakes_leave_with_status_2(root: Path, words: list[str]) -> None:
    done, commands = run(root, *words)
    assert (done.returncode, commands) == (2, []) and "error: " in done.stderr
