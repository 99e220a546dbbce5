"""Runs one command and copies its output to the screen and to files, or only to a file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import BinaryIO, NoReturn


def run_shown(words: list[str], *, folder: Path, environment: Mapping[str, str], log: Path | None) -> int:
    """Run a command and show its output; also write stdout to <log>.log and stderr to <log>.err. Returns its status."""
    if log is None:
        return _wait(subprocess.Popen(words, cwd=folder, env=environment))
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{log}.log", "wb") as out, open(f"{log}.err", "wb") as err:  # noqa: PTH123 - names with dots
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout and process.stderr
        copies = [
            Thread(target=_copy, args=(process.stdout, sys.stdout.buffer, out), daemon=True),
            Thread(target=_copy, args=(process.stderr, sys.stderr.buffer, err), daemon=True),
        ]
        for copy in copies:
            copy.start()
        try:
            return _wait(process)
        finally:
            for copy in copies:
                copy.join()


def run_quietly(words: list[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> int:
    """Run a command and append its output to `log`. Returns its status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return _wait(subprocess.Popen(words, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT))


def cpu_seconds() -> float:
    """CPU seconds of all finished commands, with their child processes."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def end_with_the_step() -> None:
    """On SIGTERM, end this process after `_wait` has passed the signal to the command."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a command. The terminal sends Ctrl-C to it as well; SIGTERM is passed on."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    except SystemExit:
        process.terminate()
        process.wait()
        raise


def _copy(pipe: BinaryIO, screen: BinaryIO, file: BinaryIO) -> None:
    """Copy a pipe to screen and file without delay; continue if the screen is closed."""
    watched = True
    while chunk := os.read(pipe.fileno(), 1 << 16):
        file.write(chunk)
        file.flush()
        try:
            if watched:
                screen.write(chunk)
                screen.flush()
        except BrokenPipeError:
            watched = False
