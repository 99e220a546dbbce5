"""Encoding a corpus that is killed: started again, it ends in the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from megatron_speech.speech_tokenizer.corpus.run import tokenize_speech
from tests.unit.speech_tokenizer.corpus.toys import config_of, corpus, digest

ROOT = Path(__file__).resolve().parents[4]


def test_killed_at_any_moment_it_ends_the_same(tmp_path: Path, tokenizer: Path) -> None:
    corpus(tmp_path / "audio", clips=80, per_shard=8)
    tokenize_speech(config_of(tmp_path, "whole", overlap_seconds=1.0))
    command = [sys.executable, str(ROOT / "tools" / "tokenize_speech.py"), "--tokenizer", str(tokenizer)]
    command += ["--audio", str(tmp_path / "audio"), "--output", str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    running = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 900
    while not list((tmp_path / "killed.tasks").glob("*/manifest.json")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)  # after the first task, in the middle of another
    assert running.wait() == -signal.SIGKILL, "it ended before it could be killed"
    again = subprocess.run(
        [*command, "--run.workers", "2"], env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
