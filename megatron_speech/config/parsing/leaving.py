"""Ends a tool early: prints one line on stderr and exits with a status that tells the reason.

torchrun prints thirty lines of its own after those of the failed rank, including what the rank wrote to its error file.
So the line is written there too. It appears among torchrun's last lines or, with `launch`, as the last one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

MISTAKE, INTERRUPTED = 2, 130
LAUNCHER = "MEGATRON_SPEECH_LAUNCHER"
"""Environment variable that `launch` sets for its ranks; it prints their error itself, once and last."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable with the path where torchrun looks for the error of a rank."""
AGAIN = "interrupted: nothing unfinished has its final name; run the same command again to go on"


def leave(line: str, status: int) -> SystemExit:
    """Report why this process ends, and return the exception for the caller to raise."""
    line = _printable(" ".join(line.split()))
    if file := os.environ.get(ERROR_FILE):
        Path(file).write_text(_for_torchrun(line))
    alone = LAUNCHER not in os.environ
    if alone or (status == INTERRUPTED and os.environ.get("RANK") == "0"):  # launch.py reports no interruption
        print(line, file=sys.stderr)
    return SystemExit(status)


def interruption_is_one_line() -> None:
    """Make Ctrl-C exit at once with one line; for use during imports, when nothing needs cleaning up.

    Imported libraries may swallow a KeyboardInterrupt, so a signal handler exits directly.
    """
    signal.signal(signal.SIGINT, _end)


@contextmanager
def unwinding() -> Iterator[None]:
    """Make Ctrl-C raise KeyboardInterrupt again inside this context, so that unfinished work is cleaned up."""
    ends = signal.getsignal(signal.SIGINT) is _end
    if ends:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ends:
            signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    leave(AGAIN, INTERRUPTED)
    os._exit(INTERRUPTED)


def _printable(text: str) -> str:
    """Escape control characters and lone surrogates in `text`, which may quote bytes of a file."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _for_torchrun(line: str) -> str:
    """Format `line` as JSON that torch.distributed.elastic reads and prints as the traceback."""
    extra = {"py_callstack": line, "timestamp": str(int(time.time()))}
    return json.dumps({"message": {"message": line, "extraInfo": extra}})
