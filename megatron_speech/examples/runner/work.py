"""Describes an example as data: its steps, its run folder, and its options."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.progress import PART_OF_EXAMPLE

ASSETS = Path(".cache/assets")
"""Folder of the downloads, which all examples in one place share."""
FLAGS = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONUNBUFFERED": "1",
    PART_OF_EXAMPLE: "1",
}
"""Environment variables of the steps: no downloads, no warnings, unbuffered output, no advice."""


@dataclass(frozen=True)
class Step:
    """One command: a tool with a settings file. Paths are relative to the run folder."""

    name: str
    tool: str
    settings: str
    """Value of --config: the name of a file among the examples, or a path."""
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Overrides of settings, by dotted key."""
    inside: str = ""
    """Subfolder of the run folder that the command runs in; paths of the step count from there."""
    ranks: int = 1
    """Number of processes; several are started by the launcher, with one thread each."""
    submit: tuple[str, ...] = ()
    """Command that replaces the tool, such as `sbatch` with a script."""
    row: str = ""
    """Row of a table that the step belongs to. A failed step ends its row; the other rows go on."""
    log: str = ""
    """File to append the output to; if empty, output is shown and kept in logs/."""
    cpu_timings: str = ""
    """JSON lines file to append CPU seconds to; the last part of the step's name is the key stage."""
    done: str = ""
    """File that exists once the step is done, for tools that do not skip finished work."""
    needs: str = ""
    """Pattern of files; the step is skipped if no file matches."""
    part: str = ""
    """Part of the example that the step belongs to; `--part` runs the steps of one."""

    @property
    def words(self) -> list[str]:
        """The command as a list of words, for this Python."""
        return self._words([sys.executable, "-m", "megatron_speech.commands"])

    @property
    def threads(self) -> str:
        """`OMP_NUM_THREADS=1 ` before a command with several ranks, else empty; for listings."""
        return "OMP_NUM_THREADS=1 " if self.ranks > 1 else ""

    def __str__(self) -> str:
        """The command as a person would type it in the run folder."""
        command = self.threads + shlex.join(self._words(["megatron-speech"]))
        return f"(cd {shlex.quote(self.inside)} && {command})" if self.inside else command

    def _words(self, program: list[str]) -> list[str]:
        launcher = ["launch", "--standalone", "--nproc-per-node", str(self.ranks)] if self.ranks > 1 else []
        overrides = [word for key, value in self.overrides.items() for word in (f"--{key}", str(value))]
        return [*(self.submit or [*program, *launcher, self.tool]), "--config", self.settings, *overrides]


def _named(failed: list[Step]) -> str:
    return " ".join(step.name for step in failed)


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of an example with the options of the user."""

    steps: list[Step]
    folder: Path
    """Working folder of the steps."""
    kept: bool = True
    """Keep logs/ and timings.jsonl in the folder."""
    assets: bool = True
    """Link assets/ in the folder to `ASSETS`."""
    links: Mapping[str, Path] = field(default_factory=dict)
    """Links to make in the folder, by path in it; an older link must lead to the same place."""
    settings: str = ""
    """Line of settings.txt; a run folder with another line is refused."""
    environment: Mapping[str, str] = field(default_factory=lambda: FLAGS)
    threads: int | None = None
    """Threads of a step, unless OMP_NUM_THREADS is set; None keeps the default of the libraries."""
    predicted: Mapping[str, float] = field(default_factory=dict)
    """Predicted seconds by step, on the machine where costs were measured; empty if unknown."""
    probe: Callable[[], float] | None = None
    """Prints an estimate before the first step; returns the ratio of expected to predicted time on this machine."""
    remedy: str = "mend the cause and repeat the command"
    """What to do after a failed step."""
    report: str = ""
    """File that the last line names."""
    failures: Callable[[list[Step]], str] = _named
    """Function from failed steps to their names in the last line."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example: its description for --help, its options, and its work."""

    about: str
    options: Callable[[ArgumentParser], None]
    work: Callable[[Namespace], Work]
    parts: tuple[str, ...] = ()
    """Names of the parts that `--part` runs, in order; empty if the example has none."""
    passes_on: bool = False
    """Whether `work` accepts unknown options, as `options.more`."""


def run_dir_option(parser: ArgumentParser, name: str) -> None:
    """Add --run-dir."""
    parser.add_argument("--run-dir", default=f"runs/{name}", help=f"folder to fill (default: runs/{name})")


def folder(key: str, value: str) -> Path:
    """The path `value` of option `key`, absolute. Raises ValueError if it is empty."""
    if not value:
        raise ValueError(f"{key}='' must be a folder's path")
    return Path(os.path.realpath(value))  # resolve() fails at a link that leads back to itself
