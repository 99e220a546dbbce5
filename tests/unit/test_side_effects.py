"""The library leaves its process as it found it: what changes the process stands in tools, or here with its reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import megatron_speech
from megatron_speech.commands.table import COMMANDS

PACKAGE = Path(megatron_speech.__file__).parent
CHANGES = re.compile(
    r"os\.environ(\[[^\]]*\] = |\.setdefault|\.update|\.pop)|putenv|sys\.path|faulthandler|signal\.signal[(,]"
    r"|basicConfig|logging\.disable|\.setLevel\(|addHandler|captureWarnings|set_verbosity|datatrove_log\.(dis|en)able"
    r"|filterwarnings|simplefilter|set_num_(interop_)?threads|set_default_d|set_float32_matmul|use_deterministic"
    r"|(?<!\.)torch\.manual_seed\(|random\.seed\(|backends\.\S+ = "
)
"""What may outlive a call: the environment, logging, warnings, torch's global settings and generators, signals."""
JUSTIFIED = {
    "artifacts/tasks.py": "a worker process begins; datatrove's log is silent only while a task runs",
    "commands/known_warnings.py": "a command's process begins: known warnings of libraries",
    "commands/main.py": "a command's process begins: its log",
    "examples/runner/commands.py": "a runner's process: SIGTERM ends the command that it started, too",
    "examples/steps/miniature_estimate.py": "a worker process begins, to measure",
    "config/parsing/leaving.py": "how a tool answers Ctrl-C",
    "miniature/speak.py": "a worker process begins",
    "parallel/groups.py": "a rank joins its world: dropout is seeded as Megatron does",
    "parallel/launcher.py": "torchrun's process, which does nothing else",
    "parallel/signals.py": "a context, which restores the handlers",
    "platform/standin.py": "without CUDA alone; warnings only while megatron-core is imported",
    "speech_decoder/training/run.py": "first weights and dropout come from torch's own generator",
    "speech_tokenizer/encoder.py": "a context, which restores the setting",
    "speech_tokenizer/live.py": "a context, which restores the handler",
    "speech_training/step.py": "dropout is seeded by step; a context for one warning",
    "training/run_folder.py": "the log files of a run folder",
}
"""Files of the package that change their process, and why that is right."""
PRINTING = {
    "compare_evaluations",
    "completion",
    "ls",
    "run",
    "schema",
    "doctor",
    "launch",
    "plan_mixture",
    "plan_parameters",
    "plan_run",
    "pretrain",
    "read_aloud",
    "stream_decode",
    "stream_speech",
    "train_text_to_token",
}
"""Commands that print their result, or whose run folder holds the log (`training.run_folder`)."""


def test_only_these_files_change_their_process() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(CHANGES.search(line) for line in path.read_text().splitlines())
    }
    assert found == set(JUSTIFIED)


def test_every_command_has_a_log_or_prints() -> None:
    assert {command.name for command in COMMANDS.values() if not (command.logs and command.settings)} == PRINTING


@pytest.mark.parametrize("module", ["training.run", "checkpoint.distributed.save_load", "model.dry_run"])
def test_importing_says_nothing(module: str) -> None:
    command = [sys.executable, "-c", f"import megatron_speech.{module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == done.stderr == ""
