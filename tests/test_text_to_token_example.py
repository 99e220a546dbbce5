"""examples/text_to_token/run.sh with a python that only notes what it is asked for: rows, steps, failures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "text_to_token"
# Runs rows.py for real; of a tool it keeps the words, and makes the folder of a round trip.
PYTHON = f"""#!{sys.executable}
import os, pathlib, runpy, sys
path, words = sys.argv[1], sys.argv[2:]
if path.endswith("launch.py"):
    path, words = words[3], words[4:]
if path.endswith("rows.py"):
    sys.argv = sys.argv[1:]
    runpy.run_path(path, run_name="__main__")
    sys.exit()
tool = pathlib.Path(path).stem
with open(os.environ["COMMANDS"], "a") as file:
    file.write("\\t".join([tool, *words]) + "\\n")
if os.environ["FAIL"] and os.environ["FAIL"] in " ".join([tool, *words]):
    sys.exit("no luck")
if tool == "round_trip":
    output = pathlib.Path(words[words.index("--output") + 1])
    output.mkdir(parents=True, exist_ok=True)
    (output / "manifest.json").write_text("{{}}")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    shutil.copytree(EXAMPLE, root / "examples" / "text_to_token")
    shutil.copy(EXAMPLE.parent / "common.sh", root / "examples")
    python = root / ".venv" / "bin" / "python"
    scripts = {root / "tools/install.sh": "#!/bin/bash\n", python: PYTHON}
    for path, text in scripts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (root / "speech_tokenizer").mkdir()
    (root / "speech_tokenizer" / "manifest.json").write_text("{}")
    return root


def run(root: Path, *words: str, fail: str = "") -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """What the script says, and the commands that it ran."""
    commands = root / "commands"
    commands.write_text("")
    script = root / "examples" / "text_to_token" / "run.sh"
    told = ["--run-dir", str(root / "run"), "--tokenizer", str(root / "speech_tokenizer"), *words]
    done = subprocess.run(
        ["bash", str(script), *told],
        env={**os.environ, "COMMANDS": str(commands), "FAIL": fail},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, [line.split("\t") for line in commands.read_text().splitlines()]


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
