"""Ctrl-C is one line and status 130: in the parent, among worker processes, and while libraries are imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts.tasks import run_tasks
from megatron_speech.config.parsing.leaving import AGAIN, ERROR_FILE, LAUNCHER, leave
from megatron_speech.config.stages.spread import SpreadConfig

ROOT = Path(__file__).resolve().parents[2]


class Sleeper(PipelineStep):
    """Tasks that say that they have begun, and never end."""

    type, name = "SLEEPER", "sleeps"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        (self.folder / f"began-{rank}").touch()
        while True:
            time.sleep(0.1)


def sleep_in_tasks(folder: Path, workers: int) -> None:
    """What the interrupted process does."""
    run_tasks([Sleeper(folder)], tasks=4, run=SpreadConfig(workers=workers), folder=folder / "logs")


def _interrupted(code: str, began: Path) -> tuple[int, str]:
    """Status and stderr of a process group that gets SIGINT as soon as `began` is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not began.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(timeout=60), process.communicate()[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_in_any_number_of_processes(tmp_path: Path, workers: int) -> None:
    code = (
        "from pathlib import Path\n"
        "from megatron_speech.config.parsing.parse import user_errors\n"
        "from tests.unit.test_interruption import sleep_in_tasks\n"
        f"with user_errors(): sleep_in_tasks(Path({str(tmp_path)!r}), {workers})"
    )
    status, printed = _interrupted(code, tmp_path / f"began-{workers - 1}")
    assert (status, printed) == (130, f"{AGAIN}\n")


def test_outside_of_the_work(tmp_path: Path) -> None:
    """While a library is imported, say."""
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from megatron_speech.config.parsing.leaving import interruption_is_one_line\n"
        f"interruption_is_one_line(); Path({str(tmp_path / 'began')!r}).touch()\nwhile True: time.sleep(0.1)"
    )
    status, printed = _interrupted(code, tmp_path / "began")
    assert (status, printed) == (130, f"{AGAIN}\n")


def test_a_rank_leaves_its_line_for_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "error.json"))
    assert leave("error: no\n  way", 2).code == 2 and capsys.readouterr().err == "error: no way\n"
    message = json.loads((tmp_path / "error.json").read_text())["message"]
    assert message["message"] == message["extraInfo"]["py_callstack"] == "error: no way"
    monkeypatch.setenv(LAUNCHER, "1")
    leave("error: no way", 2)
    assert not capsys.readouterr().err
