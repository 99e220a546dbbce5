r"""Rows of the tables, and how one is run: the command in a fork of this process, in a folder of its own.

A table is tables/<tool>.yaml:

    least: --corpora.a.path text.jsonl --vocabulary vocabulary --output out
    rows:
      - [--corpora.a.path nowhere.jsonl, nowhere.jsonl does not exist]
      - says: not JSON
        args: --on_bad_line error
        files: {text.jsonl: "{\n"}

The words of a row follow those of `least`, which alone are right; `alone: true` leaves them out. `says` is a regular
expression that the one line must contain. `config` is the text of a YAML file that comes first. `files` changes the
row's folder (see `change`). A table's `leaves` begin names of files that no stage takes for a finished output: a log.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from megatron_speech.config.parsing.parse import parse_config
from tests.schemas import ROOT, schema

MODULE = "megatron_speech.commands"
TABLES = Path(__file__).with_name("tables")
UNFINISHED = (".partial", ".tasks", ".lock", ".tmp")
"""Endings of what a stage that failed may leave."""
_SECONDS = 120
_FOLDER = (-1, 0)


@dataclass(frozen=True)
class Row:
    """A command line that must be refused."""

    tool: str
    words: list[str]
    says: str
    config: str | None = None
    files: dict[str, Any] = field(default_factory=dict)
    leaves: list[str] = field(default_factory=list)
    """Beginnings of what it may leave under other names than those of unfinished work."""

    @property
    def is_read_alone(self) -> bool:
        """Whether no file takes part in reading the command line."""
        return self.config is None and not any(word.startswith("--config") for word in self.words)

    def __str__(self) -> str:
        return f"{self.tool} {shlex.join(self.words)[-60:]} {self.says[:30]}"


@dataclass(frozen=True)
class Ended:
    """How a tool ended."""

    status: int
    stderr: str
    left: list[str]
    """Files that are new or changed, without those of unfinished work."""


def rows_of(tool: str) -> list[Row]:
    """The rows of a tool's table, those for every tool first."""
    table = yaml.safe_load((TABLES / f"{tool}.yaml").read_text())
    least, found = shlex.split(table["least"]), []
    for entry in table["rows"]:
        row = dict(zip(("args", "says"), entry, strict=True)) if isinstance(entry, list) else dict(entry)
        words = ([] if row.pop("alone", False) else least) + shlex.split(row.pop("args", ""))
        found.append(Row(tool=tool, words=words, leaves=table.get("leaves", []), **row))
    return found


def change(folder: Path, name: str, to: Any) -> None:
    """Change a file of `folder`: to a text, or remove it (null).

    cut: to so many bytes, flip: a byte, copy: another file or folder, folder: make one, hex: bytes, repeat: [text,
    times], link: to a path.
    """
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if to is None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    kind, value = next(iter(to.items())) if isinstance(to, dict) else ("text", to)
    if kind == "copy":
        source = folder / value
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(source, path) if source.is_dir() else shutil.copy(source, path)
    elif kind == "folder":
        path.unlink(missing_ok=True)
        path.mkdir()
    elif kind == "link":
        path.symlink_to(value)
    elif kind == "replace":
        text = path.read_text()
        assert value[0] in text, f"{name} holds no {value[0]}"
        path.write_text(text.replace(value[0], value[1]))
    else:
        path.write_bytes(_content(path, kind, value))


def _content(path: Path, kind: str, value: Any) -> bytes:
    if kind == "cut":
        return path.read_bytes()[:value]
    if kind == "flip":
        content = bytearray(path.read_bytes())
        content[value] ^= 1
        return bytes(content)
    if kind == "repeat":
        return value[0].encode() * int(value[1])
    return bytes.fromhex(value) if kind == "hex" else str(value).encode()


class Worlds:
    """Copies of a world; one that a row left as it was serves the next row, too."""

    def __init__(self, whole: Path, folder: Path) -> None:
        self.whole, self.folder, self.copies = whole, folder, 0
        self._clean: Path | None = None

    def run(self, row: Row, *, alone: bool = False) -> Ended:
        """Run a row: in this process as far as it only reads its command line, else in a fork and a world.

        With `alone`, in a process of its own.
        """
        if not alone and row.is_read_alone and (ended := _read_command_line(row)):
            return ended
        folder = self._clean or self._copy()
        self._clean = None
        before = state(folder)
        ended = run_row(row, folder, alone=alone)
        if state(folder) == before:
            self._clean = folder
        else:
            shutil.rmtree(folder)
        return ended

    def _copy(self) -> Path:
        self.copies += 1
        return Path(shutil.copytree(self.whole, self.folder / str(self.copies), symlinks=True))


def run_row(row: Row, folder: Path, *, alone: bool = False) -> Ended:
    """Run a row in `folder`, a world that it may spoil."""
    for name, to in row.files.items():
        change(folder, name, to)
    words = row.words
    if row.config is not None:
        (folder / "c.yaml").write_text(row.config)
        words = ["--config", "c.yaml", *words]
    before = state(folder)
    status, stderr = (_run_alone if alone else _run_in_fork)(row.tool, words, folder)
    after = state(folder)
    left = [name for name in after if after[name] not in (before.get(name), _FOLDER) and not _is_unfinished(name)]
    left += [f"{name} (removed)" for name in before if name not in after]
    return Ended(status=status, stderr=stderr, left=[name for name in left if not name.startswith(tuple(row.leaves))])


def _read_command_line(row: Row) -> Ended | None:
    """How the first step of every tool's main ends; None if the command line is right."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parse_config(schema(row.tool), description="", args=row.words)
    except SystemExit as left:
        return Ended(status=int(left.code or 0), stderr=said.getvalue(), left=[])
    return None


def _is_unfinished(name: str) -> bool:
    return any(part.endswith(UNFINISHED) for part in Path(name).parts)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file; folders have none."""
    found = {}
    for path in folder.rglob("*"):
        told = path.lstat()
        found[str(path.relative_to(folder))] = _FOLDER if path.is_dir() else (told.st_size, told.st_mtime_ns)
    return found


def _run_alone(tool: str, words: list[str], folder: Path) -> tuple[int, str]:
    paths = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"}
    script = ROOT / "tools" / f"{tool}.py"
    start = [str(script)] if script.is_file() else ["-m", MODULE, tool]
    command = [sys.executable, *start, *words]
    done = subprocess.run(command, cwd=folder, env=paths, capture_output=True, timeout=_SECONDS, check=False)
    return done.returncode, done.stderr.decode(errors="replace")


def _run_in_fork(tool: str, words: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and stderr of a tool's main. A fork has imported already what takes seconds to import."""
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            be_tool(tool, words, folder, write)
        finally:
            os._exit(99)
    os.close(write)
    said, deadline = b"", time.monotonic() + _SECONDS
    while select.select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(read, 1 << 16)
        if not piece:
            break
        said += piece
    else:
        os.kill(child, signal.SIGKILL)
    os.close(read)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode(errors="replace")


def be_tool(tool: str, words: list[str], folder: Path, stderr: int) -> None:
    silent = os.open(os.devnull, os.O_RDWR)
    for number, target in ((0, silent), (1, silent), (2, stderr)):
        os.dup2(target, number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    os.chdir(folder)
    torch.set_num_threads(1)  # a fork has none of its parent's threads; waiting for them would never end
    # The row's folder as well, so that a name on the command line could be imported.
    sys.argv, sys.path = ["megatron-speech", tool, *words], [str(ROOT / "tools"), str(folder), *sys.path]
    status: Any = 0
    try:
        runpy.run_module(MODULE, run_name="__main__")
    except SystemExit as left:
        status = left.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)


def said(stderr: str) -> list[str]:
    """The lines of stderr, without progress bars; some tools log there."""
    pieces = re.split(r"[\r\n]+", stderr)
    return [piece for piece in pieces if piece.strip() and not re.search(r"%\||\dB \[|it/s", piece)]
