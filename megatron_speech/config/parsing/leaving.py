"""How a tool ends before its work is done: with one line on stderr, and with a status that says why.

torchrun prints thirty lines of its own behind those of the rank that failed. It takes in what a rank leaves in its
error file, so the line stands there as well: among torchrun's last lines, or, with tools/launch.py, as the last one.
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
"""Set in the environment of ranks by tools/launch.py, which prints their mistake itself, once and last."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Where torchrun looks for the error of a rank that it started."""
AGAIN = "interrupted: nothing unfinished has its final name; run the same command again to go on"


def leave(line: str, status: int) -> SystemExit:
    """Say why this process ends; the caller raises what is returned."""
    line = _printable(" ".join(line.split()))
    if file := os.environ.get(ERROR_FILE):
        Path(file).write_text(_for_torchrun(line))
    alone = LAUNCHER not in os.environ
    if alone or (status == INTERRUPTED and os.environ.get("RANK") == "0"):  # which launch.py does not tell
        print(line, file=sys.stderr)
    return SystemExit(status)


def interruption_is_one_line() -> None:
    """Let Ctrl-C end this process at once with one line, as long as there is nothing to put away: while libraries are
    imported, which may swallow a KeyboardInterrupt."""
    signal.signal(signal.SIGINT, _end)


@contextmanager
def unwinding() -> Iterator[None]:
    """Inside, Ctrl-C is a KeyboardInterrupt again: what was begun is put away."""
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
    """A text whose control characters and half characters are escaped: it may hold bytes of a file."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _for_torchrun(line: str) -> str:
    """The form that torch.distributed.elastic reads and prints under "traceback"."""
    extra = {"py_callstack": line, "timestamp": str(int(time.time()))}
    return json.dumps({"message": {"message": line, "extraInfo": extra}})
