"""Tokenizing text that is killed: started again, it ends in the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from megatron_speech.tokenize_text.run import tokenize_text
from tests.unit.tokenize_text.toys import config_of, corpus_folder, digest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_ends_the_same(tmp_path: Path, vocabulary: Path, workers: int):
    corpus_folder(tmp_path / "corpus", files=6, documents=300)
    tokenize_text(config_of(tmp_path, "whole", shard_tokens=1000))
    command = [sys.executable, str(ROOT / "tools" / "tokenize_text.py"), "--vocabulary", str(vocabulary)]
    command += [
        "--corpora",
        json.dumps({"web": {"path": str(tmp_path / "corpus"), "licence": "CC0-1.0", "language": "en"}}),
    ]
    command += ["--output", str(tmp_path / "killed"), "--shard_tokens", "1000", "--run.workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    running = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 900
    while not list((tmp_path / "killed.tasks").glob("*/manifest.json")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)  # after the first task, in the middle of another; its workers learn of it later
    assert running.wait() == -signal.SIGKILL, "it ended before it could be killed"
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
