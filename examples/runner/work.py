"""What an example does, as data: its steps, the folder they fill, and what the user may choose."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONUNBUFFERED": "1",
}
"""Environment variables of the steps: no downloads by the way, no warnings, output as it comes."""


@dataclass(frozen=True)
class Step:
    """One command: a tool of `tools/` with a settings file. Paths are as seen from the run folder."""

    name: str
    tool: str
    settings: Path
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Settings that this step changes, by dotted key."""
    ranks: int = 1
    """More than one: that many processes by tools/launch.py, one thread each."""
    submit: tuple[str, ...] = ()
    """Command that takes the settings instead of the tool, such as `sbatch` with a script."""
    row: str = ""
    """Row of a table that the step belongs to. A failed step ends its row; the other rows go on."""
    log: str = ""
    """File to which the output is appended. Empty: it is shown, and kept in logs/."""
    cpu_timings: str = ""
    """JSON lines to which the CPU seconds are appended, with the last part of the name as the stage."""
    done: str = ""
    """File that exists once the step is done; for tools that would begin again."""
    needs: str = ""
    """Pattern of files. Where none exists, the step has nothing to do yet."""

    @property
    def words(self) -> list[str]:
        """The command, word by word."""
        tool = str(ROOT / "tools" / f"{self.tool}.py")
        launcher = [str(ROOT / "tools" / "launch.py"), "--standalone", "--nproc-per-node", str(self.ranks)]
        start = list(self.submit) or [sys.executable, *(launcher if self.ranks > 1 else []), tool]
        overrides = [word for key, value in self.overrides.items() for word in (f"--{key}", str(value))]
        return [*start, "--config", str(self.settings), *overrides]

    @property
    def threads(self) -> str:
        """`OMP_NUM_THREADS=1 ` where ranks share the cores, as it is typed before the command."""
        return "OMP_NUM_THREADS=1 " if self.ranks > 1 else ""

    def __str__(self) -> str:
        return self.threads + shlex.join(self.words)


def _named(failed: list[Step]) -> str:
    return " ".join(step.name for step in failed)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done with the options that the user chose."""

    steps: list[Step]
    folder: Path
    """Where the steps run."""
    kept: bool = True
    """Keep logs/ and timings.jsonl in the folder."""
    assets: bool = True
    """Link assets/ in the folder to the downloads that all examples share."""
    links: Mapping[str, Path] = field(default_factory=dict)
    """Links to make in the folder; an older link must lead to the same place."""
    settings: str = ""
    """Line of settings.txt. A folder that was made with another line is refused."""
    environment: Mapping[str, str] = field(default_factory=lambda: FLAGS)
    threads: int | None = None
    """Threads of a step, unless OMP_NUM_THREADS is set; None leaves it to the libraries."""
    predicted: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each step on the machine where costs were measured; empty where nobody measured them."""
    probe: Callable[[], float] | None = None
    """Print an estimate before the first step; return how many times as long as predicted the steps take here."""
    report: str = ""
    """File to name at the end."""
    failures: Callable[[list[Step]], str] = _named
    """How failed rows are named at the end."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example: what it says of itself, its options, and its work."""

    about: str
    options: Callable[[ArgumentParser], None]
    work: Callable[[Namespace], Work]
    passes_on: bool = False
    """Options that the example does not have go to `work` as `options.more`."""


def run_dir_option(parser: ArgumentParser, name: str) -> None:
    """Add --run-dir."""
    parser.add_argument("--run-dir", default=str(ROOT / "runs" / name), help=f"folder to fill (default: runs/{name})")


def folder(key: str, value: str) -> Path:
    """A folder that the user names, as an absolute path."""
    if not value:
        raise ValueError(f"{key}='' must be a folder's path")
    return Path(value).resolve()
