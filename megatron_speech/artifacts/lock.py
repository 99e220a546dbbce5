"""Locks an output by a file beside it, so that two processes do not make it at the same time."""

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
    """Hold the lock ``<output>.lock`` within the context; waits while another process holds it.

    Without the lock, a job that is requeued while it still runs would share the draft with itself. Check `is_made`
    inside the context, because another process may have finished the output.
    """
    require_place(output)
    path = output.with_name(output.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path)
    while not (path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))):
        file.close()  # the holder removed the file meanwhile, and another process may have locked a new one
        file = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _locked(path: Path) -> TextIO:
    """Open the lock file and lock it; waits while another process holds the lock."""
    file = path.open("w")
    try:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("%s is being made by another process; waiting for it", path.with_suffix(""))
            fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError as error:
        logger.warning("%s: this file system has no locks (%s); do not make one output by two runs", path, error)
    return file
