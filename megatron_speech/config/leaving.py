"""How a tool ends before its work is done: with one line on stderr, and with a status that says why.

torchrun prints thirty lines of its own behind those of the rank that failed. It takes in what a rank leaves in its
error file, so the line stands there as well: among torchrun's last lines, or, with tools/launch.py, as the last one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType

MISTAKE, INTERRUPTED = 2, 130
LAUNCHER = "MEGATRON_SPEECH_LAUNCHER"
"""Set in the environment of ranks by tools/launch.py, which prints their line itself, once and last."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Where torchrun looks for the error of a rank that it started."""
AGAIN = "interrupted: nothing unfinished has its final name; run the same command again to go on"


def leave(line: str, status: int) -> SystemExit:
    """Say why this process ends; the caller raises what is returned."""
    line = _printable(" ".join(line.split()))
    if file := os.environ.get(ERROR_FILE):
        Path(file).write_text(_for_torchrun(line))
    if LAUNCHER not in os.environ:
        print(line, file=sys.stderr)
    return SystemExit(status)


def interruption_is_one_line() -> None:
    """Show Ctrl-C as one line also where no `user_errors` is open: while libraries are imported."""

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            leave(AGAIN, INTERRUPTED)
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # Python itself would end by the signal, which a caller sees as another status
        else:
            sys.__excepthook__(kind, error, traceback)

    sys.excepthook = show


def _printable(text: str) -> str:
    """A text whose control characters and half characters are escaped: it may hold bytes of a file."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _for_torchrun(line: str) -> str:
    """The form that torch.distributed.elastic reads and prints under "traceback"."""
    extra = {"py_callstack": line, "timestamp": str(int(time.time()))}
    return json.dumps({"message": {"message": line, "extraInfo": extra}})
