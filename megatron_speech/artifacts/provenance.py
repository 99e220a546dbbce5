"""Records the tool, version and commit that made an artifact; they are not part of its identity."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from megatron_speech import __version__


def made_by() -> dict[str, str | None]:
    """Name of the running tool, version of the package, and commit of its checkout (None without a checkout)."""
    return {"tool": Path(sys.argv[0]).name, "version": __version__, "commit": _commit()}


@cache
def _commit() -> str | None:
    """Commit of the checkout, with ``-dirty`` if files differ from it; None without a checkout."""
    here = Path(__file__).parent
    # An installed package may lie in another repository, which does not track this file.
    tracked = _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
    return _git(here, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else None


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
