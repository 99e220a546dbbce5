"""A lock beside an output, so that two processes never make it at the same time."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from megatron_speech.artifacts.manifest import require_place

logger = logging.getLogger(__name__)


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Hold the lock ``<output>.lock``, so that two processes which make the same output take turns.

    Without it they would share a partial folder: a job that was requeued while it still ran, or a worker that outlived
    its killed parent. Check inside whether the output `is_made` by now.
    """
    require_place(output)
    path = output.with_name(output.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path)
    while not (path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))):
        file.close()  # its holder removed it while this process waited, and another may hold its successor
        file = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _locked(path: Path) -> TextIO:
    """The open lock file; waits while another process holds its lock."""
    file = path.open("w")
    try:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("%s is being made by another process; waiting for it", path.with_suffix(""))
            fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError as error:
        logger.warning("%s: no locks on this file system (%s); let no two runs make one output at once", path, error)
    return file
