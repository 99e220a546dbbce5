"""Ratios of benchmarks are compared with the kept record; each ratio has a better direction."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "record.py"
FAKE = """import json, pathlib, sys
with pathlib.Path(__file__).with_suffix(".runs").open("a") as file:
    file.write("x")
print("some words first")
print(json.dumps({result!r}))
raise SystemExit({status})
"""


class Folder:
    """A git checkout with fake benchmarks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._git("init", "--quiet")

    def set(self, name: str, ratio: Any, *, better: str = "higher", status: int = 0, **result: Any) -> None:
        """Write a benchmark which prints `ratio`, and commit it."""
        result = {"name": name, "ratio": ratio, "limit": 1.0, "better": better, **result}
        self.write(name, FAKE.format(result=result, status=status))

    def write(self, name: str, text: str) -> None:
        """Write a benchmark and commit it."""
        (self.root / f"{name}.py").write_text(text)
        self._git("add", f"{name}.py")
        self._git("commit", "--quiet", "--message", name)

    def record(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command on this folder."""
        places = ["--folder", str(self.root), "--work", str(self.root / "work")]
        command = [sys.executable, str(SCRIPT), *places, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def runs(self, name: str) -> int:
        """How often a benchmark ran."""
        path = self.root / f"{name}.runs"
        return len(path.read_text()) if path.is_file() else 0

    def kept(self) -> dict[str, dict[str, Any]]:
        """The stored record by name."""
        entries = map(json.loads, (self.root / "record.jsonl").read_text().splitlines())
        return {entry["name"]: entry for entry in entries}

    def _git(self, *words: str) -> None:
        who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", "-C", str(self.root), *who, *words], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.set("fast", 4.0)
    made.set("lean", {"small": 1.0, "large": 2.0}, better="lower")
    return made


def test_what_is_kept_says_where_it_comes_from(folder: Folder) -> None:
    done = folder.record("--keep")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if ": running" in line] == [
        "[1/2] fast: running",
        "[2/2] lean: running",
    ]
    kept = folder.kept()
    assert set(kept) == {"fast", "lean"}
    for entry in kept.values():
        assert entry["commit"] and entry["date"] and entry["cpu"] and entry["cores"] >= 1 and entry["passed"]
    assert "| fast | 4.0 | higher | 1.0 |  | yes |" in done.stdout
    assert "| lean large | 2.0 | lower |" in done.stdout


@pytest.mark.parametrize(
    ("name", "ratio", "better", "falls"),
    [
        ("fast", 3.7, "higher", []),
        ("fast", 3.5, "higher", ["fast: 4 -> 3.5"]),
        ("fast", 40.0, "higher", []),
        ("lean", {"small": 1.05, "large": 2.1}, "lower", []),
        ("lean", {"small": 1.2, "large": 2.1}, "lower", ["lean small: 1 -> 1.2"]),
        ("lean", {"small": 0.1, "large": 0.2}, "lower", []),
        ("lean", {"small": 1.2, "large": 3.0}, "lower", ["lean small: 1 -> 1.2", "lean large: 2 -> 3"]),
    ],
)
def test_a_ratio_that_fell_is_named(folder: Folder, name: str, ratio: Any, better: str, falls: list[str]) -> None:
    folder.record("--keep")
    kept = folder.kept()
    folder.set(name, ratio, better=better)
    done = folder.record()
    assert done.returncode == (1 if falls else 0), done.stdout
    named = [line for line in done.stdout.splitlines() if line.startswith("fell by more than 10%: ")]
    assert [line.removeprefix("fell by more than 10%: ").rpartition(", of ")[0] for line in named] == falls
    assert folder.kept() == kept, "stored without --keep"


def test_a_rate_of_another_machine_is_not_compared(folder: Folder) -> None:
    folder.set("rate", 4.0, of_this_machine=True)
    folder.record("--keep")
    folder.set("rate", 1.0, of_this_machine=True)
    assert folder.record().returncode == 1
    record = folder.root / "record.jsonl"
    entries = [{**entry, "cpu": "another"} for entry in folder.kept().values()]
    record.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert folder.record().returncode == 0


def test_finished_benchmarks_are_not_repeated_at_the_same_commit(folder: Folder) -> None:
    folder.record("--only", "fast")
    assert (folder.runs("fast"), folder.runs("lean")) == (1, 0)
    folder.record("--keep")
    assert (folder.runs("fast"), folder.runs("lean")) == (1, 1)
    assert set(folder.kept()) == {"fast", "lean"}
    folder.set("third", 1.0)
    folder.record()
    assert (folder.runs("fast"), folder.runs("lean"), folder.runs("third")) == (2, 2, 1)


def test_changed_files_are_measured_anew_and_never_kept(folder: Folder) -> None:
    (folder.root / "fast.py").write_text((folder.root / "fast.py").read_text() + "# changed\n")
    folder.record("--only", "fast")
    folder.record("--only", "fast")
    assert folder.runs("fast") == 2
    done = folder.record("--keep")
    assert done.returncode == 2
    assert "commit them first" in done.stderr
    assert not (folder.root / "record.jsonl").exists()


def test_only_replaces_what_it_measured(folder: Folder) -> None:
    folder.record("--keep")
    before = folder.kept()
    folder.set("fast", 5.0)
    folder.record("--only", "fast", "--keep")
    after = folder.kept()
    assert after["lean"] == before["lean"]
    assert (after["fast"]["result"]["ratio"], before["fast"]["result"]["ratio"]) == (5.0, 4.0)


def test_a_benchmark_that_fails_or_misses_its_limit_is_told(folder: Folder) -> None:
    folder.write("broken", "raise RuntimeError('no such luck')\n")
    folder.set("missed", 0.5, status=1)
    done = folder.record("--keep")
    assert done.returncode == 1
    assert "broken: failed with status 1 and no result: RuntimeError: no such luck" in done.stdout
    assert "| missed | 0.5 | higher | 1.0 |  | no |" in done.stdout
    assert set(folder.kept()) == {"fast", "lean", "missed"}


def test_a_name_of_no_benchmark_is_refused(folder: Folder) -> None:
    done = folder.record("--only", "fsat")
    assert done.returncode == 2
    assert "--only fsat" in done.stderr and "choose from fast, lean" in done.stderr
