"""What made an artifact: tool, version and commit; for people who ask, no part of an artifact's identity."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from megatron_speech import __version__


def made_by() -> dict[str, str | None]:
    """The running tool, the package's version, and the commit of its checkout (null where it is installed)."""
    return {"tool": Path(sys.argv[0]).name, "version": __version__, "commit": _commit()}


@cache
def _commit() -> str | None:
    """The checked-out commit, ``-dirty`` where files differ from it; asked once."""
    here = Path(__file__).parent
    tracked = _git(here, "ls-files", "--error-unmatch", Path(__file__).name)  # not just any repository around us
    return _git(here, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else None


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
