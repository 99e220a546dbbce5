"""Real torchrun: a mistake is the last line on the screen, and Ctrl-C lets the ranks save, or ends them at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from megatron_speech.config.parsing.leaving import AGAIN
from megatron_speech.config.parsing.parse import dump_yaml
from megatron_speech.config.run.training import CheckpointConfig
from tests.toy_runs import make_config, make_sources

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["--standalone", "--nproc-per-node", "2"]
LAUNCHER = [sys.executable, str(ROOT / "tools/launch.py"), *OPTIONS]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", *OPTIONS]
HEAD = """
import os, signal, sys, time
from pathlib import Path
from megatron_speech.config.parsing.parse import user_errors
rank = int(os.environ["RANK"])
"""
MISTAKE = "with user_errors():\n    raise ValueError('no such thing; choose another')\n"
# What the ranks do, and the status and the last line of the launcher.
CASES = {
    "a mistake that all ranks meet": (MISTAKE, 2, r"error: no such thing; choose another"),
    "a mistake of one rank": (f"if rank == 0: time.sleep(600)\n{MISTAKE}", 2, r"error: no such thing; choose another"),
    "a bug": ("if rank == 0: time.sleep(600)\n{}[3]", 1, r"error: rank 1 (process"),
    "a killed rank": ("if rank: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(600)", 137, "error: rank 1 (process"),
    "a good end": ("if rank == 0: print('well', file=sys.stderr)", 0, "well"),  # two would mix their letters
}


def _start(command: list[str], stderr: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with stderr.open("w") as file:
        return subprocess.Popen(command, env=environment, stderr=file, stdout=file, text=True, start_new_session=True)


def _until(condition: Path | str, stderr: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a file to appear, or for a word on stderr."""
    while not (condition.exists() if isinstance(condition, Path) else condition in stderr.read_text()):
        assert process.poll() is None, stderr.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("case", CASES)
def test_the_launcher_shows_what_matters_last_and_once(tmp_path: Path, case: str) -> None:
    body, status, last = CASES[case]
    (tmp_path / "tool.py").write_text(HEAD + body)
    process = _start([*LAUNCHER, str(tmp_path / "tool.py")], tmp_path / "err")
    assert process.wait(timeout=100) == status
    lines = (tmp_path / "err").read_text().splitlines()
    assert lines[-1].startswith(last)
    if status == 2:
        assert len(lines) == 1
    if case == "a bug":
        assert "KeyError: 3" in lines[-2] and "status 1; its own lines stand above" in lines[-1]
    if case == "a killed rank":
        assert lines[-1].endswith("was killed by SIGKILL; out of memory?") and len(lines) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pretrain", "--model.num_layer", "12"], "model.num_layer: no such key; did you mean 'num_layers'?"),
        (["pretrian"], "pretrian: no such command; did you mean 'pretrain'?"),
    ],
)
def test_a_verb_is_launched_like_a_script(tmp_path: Path, words: list[str], says: str) -> None:
    command = [sys.executable, "-m", "megatron_speech.commands", "launch", *OPTIONS, *words]
    process = _start(command, tmp_path / "err")
    assert process.wait(timeout=100) == 2
    assert (tmp_path / "err").read_text() == f"error: {says}\n"


def test_ranks_that_cannot_meet_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "tool.py").touch()
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*LAUNCHER[:2], "--nproc-per-node", "2", "--master-port", port, str(tmp_path / "tool.py")]
        process = _start(command, tmp_path / "err")
        assert process.wait(timeout=100) == 2
    (line,) = (tmp_path / "err").read_text().splitlines()
    assert line.startswith("error: the ranks cannot meet (") and "add --standalone" in line and port in line


def test_ctrl_c_before_the_work_is_one_line(tmp_path: Path) -> None:
    body = f"(Path({str(tmp_path)!r}) / f'began-{{rank}}').touch()\nwith user_errors(): time.sleep(600)"
    (tmp_path / "tool.py").write_text(HEAD + body)
    process = _start([*LAUNCHER, str(tmp_path / "tool.py")], tmp_path / "err")
    for rank in range(2):
        _until(tmp_path / f"began-{rank}", tmp_path / "err", process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (tmp_path / "err").read_text() == f"{AGAIN}\n"


def test_torchrun_itself_shows_the_line_in_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(HEAD + MISTAKE)
    process = _start([*TORCHRUN, str(tmp_path / "tool.py")], tmp_path / "err")
    assert process.wait(timeout=100) == 1
    lines = (tmp_path / "err").read_text().splitlines()
    assert "error: no such thing; choose another" in lines[-2] and set(lines[-1]) == {"="}


@pytest.mark.parametrize("started", ["alone", "verb", "launcher", "torchrun"])
@pytest.mark.parametrize("whom", ["process", "group"])
def test_ctrl_c_saves_and_the_run_goes_on(tmp_path: Path, started: str, whom: str) -> None:
    config = make_config(
        tmp_path / "run",
        make_sources(tmp_path),
        steps=100_000,
        checkpoint=CheckpointConfig(every_steps=100_000, resume="if_present"),
    )
    dump_yaml(config, tmp_path / "run.yaml")
    script = str(ROOT / "tools/pretrain.py")
    verb = [sys.executable, "-m", "megatron_speech.commands", "launch", *OPTIONS, "pretrain"]
    alone, torchrun = [sys.executable, script], [*TORCHRUN, script]
    start = {"alone": alone, "verb": verb, "launcher": [*LAUNCHER, script], "torchrun": torchrun}[started]
    process = _start([*start, "--config", str(tmp_path / "run.yaml")], tmp_path / "err")
    _until(config.folder / "metrics.jsonl", tmp_path / "err", process)
    (os.kill if whom == "process" else os.killpg)(process.pid, signal.SIGINT)
    assert process.wait(timeout=100) == {"alone": 0, "verb": 130, "launcher": 130, "torchrun": 1}[started]
    printed = (tmp_path / "err").read_text()
    assert printed.count("interrupted: this step is finished and saved first") == 1
    assert "stopped by a signal after step" in printed
    if started != "torchrun":
        assert "Traceback" not in printed and "stopped by a signal" in printed.splitlines()[-1]
    (checkpoint,) = (config.folder / "checkpoints").iterdir()
    assert (checkpoint / "checksums.json").is_file()


@pytest.mark.parametrize("started", ["alone", "launcher"])
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, started: str) -> None:
    body = (
        "from megatron_speech.parallel.signals import StopRequest\n"
        "with StopRequest(speaks=rank == 0):\n"
        f"    (Path({str(tmp_path)!r}) / f'pid-{{rank}}').write_text(str(os.getpid()))\n"
        "    while True: time.sleep(0.1)  # a step that takes long\n"
    )
    (tmp_path / "tool.py").write_text(HEAD.replace('os.environ["RANK"]', 'os.environ.get("RANK", "0")') + body)
    start = LAUNCHER if started == "launcher" else [sys.executable]
    process = _start([*start, str(tmp_path / "tool.py")], tmp_path / "err")
    ranks = [tmp_path / f"pid-{rank}" for rank in range(2 if started == "launcher" else 1)]
    for path in ranks:
        _until(path, tmp_path / "err", process)
    os.kill(process.pid, signal.SIGINT)
    _until("interrupted: this step", tmp_path / "err", process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (tmp_path / "err").read_text().splitlines()[1:] == [
        "interrupted again: ended at once, with nothing saved since the last checkpoint"
    ]
    for path in ranks:
        assert not Path(f"/proc/{path.read_text()}").exists()
