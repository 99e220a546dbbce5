#!/usr/bin/env python
"""Run all benchmarks of this folder, print one table, and name every ratio that fell by more than 10 % of the kept one.

    python tests/benchmarks/record.py                  # compare with record.jsonl
    python tests/benchmarks/record.py --keep           # and store the results there
    python tests/benchmarks/record.py --only pack spans

Only ratios are compared: of two ways on one machine, side by side. A ratio over a fixed rate (`of_this_machine`) is
compared where the kept one is of the same processor. A finished benchmark is not run again at the same commit, so the
command can be stopped and repeated; where files differ from the commit, all are run. The exit status is 1 where a ratio
fell, a benchmark failed, or it missed its own limit. The cores must be free of other work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from megatron_speech.artifacts.files import write_atomic

ROOT = Path(__file__).resolve().parents[2]
RECORD = "record.jsonl"
FALL = 0.1
"""Share of the kept ratio by which a ratio may be worse."""
DIRTY = "-dirty"
"""Ending of the commit where files differ from it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One benchmark's result, and where it comes from."""

    name: str
    """File name without its ending."""
    commit: str
    """Abbreviated; see `DIRTY`."""
    date: str
    """Day of the measurement, UTC."""
    cpu: str
    """Name of the processor."""
    cores: int
    """Cores that the benchmark could use."""
    seconds: float
    """Wall-clock time of the benchmark."""
    passed: bool
    """Whether it kept its own limits."""
    result: dict[str, Any]
    """The JSON line it printed."""

    @property
    def ratios(self) -> dict[str, float]:
        """The compared numbers by case; a benchmark with one has the case ''."""
        ratio = self.result["ratio"]
        return ratio if isinstance(ratio, dict) else {"": ratio}


def main() -> None:
    """Run, print, compare; leave with status 1 where something is worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="benchmarks to run; by default all")
    parser.add_argument("--keep", action="store_true", help=f"store the results in {RECORD}")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="of the benchmarks and the record")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "benchmarks", help="where finished results wait")
    options = parser.parse_args()
    try:
        names, commit = _names(options.folder, options.only), _commit(options.folder)
        if options.keep and commit.endswith(DIRTY):
            raise ValueError(f"--keep: files differ from commit {commit.removesuffix(DIRTY)}; commit them first")
        kept = _read(options.folder / RECORD)
    except ValueError as error:
        parser.exit(2, f"error: {error}\n")
    entries = list(_measured(names, options.folder, options.work / commit, commit=commit))
    print("\n".join(["", *_table(entries, kept), ""]))
    worse = [line for entry in entries if entry.name in kept for line in fallen(kept[entry.name], entry)]
    print("\n".join(f"fell by more than {FALL:.0%}: {line}" for line in worse) or "no ratio fell")
    if options.keep:
        _write(options.folder / RECORD, kept | {entry.name: entry for entry in entries})
    good = len(entries) == len(names) and not worse and all(entry.passed for entry in entries)
    raise SystemExit(0 if good else 1)


def fallen(kept: Entry, new: Entry) -> list[str]:
    """The cases whose ratio is worse than the kept one by more than `FALL`, with both."""
    same_machine = (kept.cpu, kept.cores) == (new.cpu, new.cores)
    if new.result.get("of_this_machine", False) and not same_machine:
        return []
    lines = []
    for case, ratio in new.ratios.items():
        before = kept.ratios.get(case, ratio)
        higher, lower = (ratio, before) if new.result["better"] == "higher" else (before, ratio)
        if higher < (1 - FALL) * lower:
            lines.append(f"{new.name} {case}".strip() + f": {before:g} -> {ratio:g}, of {kept.commit}")
    return lines


def _names(folder: Path, only: Sequence[str] | None) -> list[str]:
    """The benchmarks to run; ValueError names one that does not exist."""
    names = sorted(path.stem for path in folder.glob("*.py") if path.name != Path(__file__).name)
    for name in only or ():
        if name not in names:
            raise ValueError(f"--only {name}: no benchmark; choose from {', '.join(names)}")
    return list(only or names)


def _commit(folder: Path) -> str:
    """The checked-out commit of `folder`; the record itself may differ from it."""
    git = ["git", "-C", str(folder)]
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", ":/", f":(exclude){RECORD}"]
    head, changes = (_said(command) for command in ([*git, "rev-parse", "--short=12", "HEAD"], changed))
    return head + (DIRTY if changes else "")


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{' '.join(command)}: {done.stderr.strip()}; run it in a git checkout")
    return done.stdout.strip()


def _measured(names: Sequence[str], folder: Path, work: Path, *, commit: str) -> Iterator[Entry]:
    """An entry of each benchmark that ended, with a line as it ends; those that failed are named and left out."""
    work.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        path, place = work / f"{name}.json", f"[{number}/{len(names)}] {name}"
        if path.is_file() and not commit.endswith(DIRTY):
            print(f"{place}: done before at this commit", flush=True)
            yield Entry(**json.loads(path.read_text()))
            continue
        print(f"{place}: running", flush=True)
        try:
            entry = _run(folder / f"{name}.py", commit=commit)
        except ValueError as error:
            print(f"{place}: {error}", flush=True)
            continue
        write_atomic(path, json.dumps(asdict(entry)))
        print(f"{place}: {entry.seconds:.0f} s{'' if entry.passed else ', missed its limit'}", flush=True)
        yield entry


def _run(path: Path, *, commit: str) -> Entry:
    """The entry of a benchmark; ValueError says how it failed."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    result = _result(done.stdout)
    if result is None:
        said = (done.stderr.splitlines() or ["nothing on stderr"])[-1]
        raise ValueError(f"failed with status {done.returncode} and no result: {said}")
    return Entry(
        name=path.stem,
        commit=commit,
        date=datetime.now(UTC).date().isoformat(),
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        seconds=round(time.monotonic() - start, 1),
        passed=done.returncode == 0,
        result=result,
    )


def _result(stdout: str) -> dict[str, Any] | None:
    """The JSON object of the last line; None unless it has a ratio, and says in which direction it is better."""
    try:
        result = json.loads(stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    usable = isinstance(result, dict) and "ratio" in result and result.get("better") in ("higher", "lower")
    return result if usable else None


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _read(path: Path) -> dict[str, Entry]:
    """The kept entries by name; none where nothing was kept yet."""
    if not path.is_file():
        return {}
    entries = [Entry(**json.loads(line)) for line in path.read_text().splitlines()]
    return {entry.name: entry for entry in entries}


def _write(path: Path, entries: Mapping[str, Entry]) -> None:
    write_atomic(path, "".join(json.dumps(asdict(entries[name])) + "\n" for name in sorted(entries)))


def _table(entries: Sequence[Entry], kept: Mapping[str, Entry]) -> Iterator[str]:
    """Lines of Markdown: one row for each case of each benchmark."""
    for cpu, cores in sorted({(entry.cpu, entry.cores) for entry in entries}):
        yield f"{cpu}, {cores} cores"
    yield "\n| benchmark | ratio | better | limit | kept | passed | seconds | commit | date |"
    yield "|---|---:|---|---:|---:|---|---:|---|---|"
    for entry in entries:
        for case, ratio in entry.ratios.items():
            limit = entry.result.get("limit")
            limit = limit.get(case) if isinstance(limit, dict) else limit
            before = kept[entry.name].ratios.get(case, "") if entry.name in kept else ""
            cells = [f"{entry.name} {case}".strip(), ratio, entry.result["better"], limit, before]
            cells += ["yes" if entry.passed else "no", entry.seconds, entry.commit, entry.date]
            yield f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
