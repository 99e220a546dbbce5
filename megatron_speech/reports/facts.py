"""Reads facts, metric lines and timings of a run folder, and formats numbers and tables for Markdown.

A step that was not run gives None, which reports show as "not reported", never as zero. A manifest that lacks a fact of
its kind is an error that names the fact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.training import MetricsRecord
from megatron_speech.artifacts.manifest import MANIFEST, Manifest, read_facts, read_manifest
from megatron_speech.config.parsing.near_path import did_you_mean

Kind = TypeVar("Kind", bound=Record)
Value = TypeVar("Value")

NOT_REPORTED = "not reported"
FROM_CODES, WITHOUT_BOTTLENECK = "from codes", "without bottleneck"
"""Readers in the tokenizer's report: its own recogniser, and the Whisper model it was trained from."""
HELD_OUT_FROM_CODES = f"heldout, {FROM_CODES}"
"""Key of the tokenizer report's error rates: held-out speech, read by its own recogniser."""


class RunFolder:
    """Reads one run folder, and notes in `absent` the steps that were asked for but not found.

    Raises FileNotFoundError if the folder does not exist.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"run folder {folder} does not exist; run examples/miniature/run.sh first; "
                f"{did_you_mean(folder, folder=True)}"
            )
        self.folder = folder
        self.absent: dict[str, str] = {}
        """Reasons by step that was not found."""

    def facts(self, step: str, kind: type[Kind]) -> Kind | None:
        """Facts of the artifact at `step`, a path below the run folder; None, and noted, if it was not made."""
        path = self.folder / step
        if not (path / MANIFEST).is_file():
            begun = path.with_name(path.name + ".partial").is_dir()
            self.absent[step] = "begun but not finished" if begun else "not run"
            return None
        return read_facts(path, kind)

    def manifest(self, step: str) -> Manifest | None:
        """Manifest of the artifact at `step`; None if it was not made."""
        path = self.folder / step
        return read_manifest(path) if (path / MANIFEST).is_file() else None

    def records(self, file: str, kind: type[Kind]) -> list[Kind]:
        """Records of a JSONL file; empty, and noted, without the file. Raises ValueError that names a broken line."""
        found = []
        for number, line in enumerate(self.lines(file), start=1):
            try:
                found.append(kind.from_json(line))
            except ValueError as error:
                raise ValueError(
                    f"{self.folder / file}:{number}: {error}; delete the line or repeat the step"
                ) from error
        return found

    def lines(self, file: str) -> list[Any]:
        """Values of a JSONL file; empty, and noted, without the file. Raises ValueError that names a broken line."""
        path = self.folder / file
        if not path.is_file():
            self.absent[file] = "not run"
            return []
        records = []
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path}:{number} is not JSON ({error.msg}); delete the line or repeat the step"
                ) from error
        return records

    def resumed_at(self, run: str) -> list[int]:
        """Steps at which a training run was resumed, from the log of rank 0."""
        path = self.folder / run / "logs" / "rank_0.log"
        if not path.is_file():
            return []
        return [int(step) for step in re.findall(r"resumed from \S*step_0*(\d+)", path.read_text())]


def shown(value: Value | None, form: Callable[[Value], str] = str) -> str:
    """A value as text by `form`; "not reported" for None."""
    return NOT_REPORTED if value is None else form(value)


def percent(value: float) -> str:
    """0.1234 -> 12.3 %."""
    return f"{100 * value:.1f} %"


def count(value: float) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,.0f}"


def decimal(value: float) -> str:
    """1.23456 -> 1.235."""
    return f"{value:.3f}"


def interval(estimate: EstimateFacts) -> str:
    """A share with its interval: "56.2 % (41.7-70.8)"."""
    return f"{percent(estimate.value)} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"


def duration(seconds: float) -> str:
    """75 -> 1 min 15 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def prose(text: str) -> list[str]:
    """A Markdown paragraph on one line, and an empty line; line breaks of `text` become spaces."""
    return [" ".join(text.split()), ""]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table: first column left-aligned, others right-aligned."""
    ruler = "| :-- |" + " --: |" * (len(header) - 1)
    return [f"| {' | '.join(header)} |", ruler, *(f"| {' | '.join(row)} |" for row in rows), ""]


def mean_loss(lines: list[MetricsRecord], modality: str = "speech", source: str | None = None) -> str:
    """Mean loss of a modality over `lines`, for one source or for all."""
    values = [(line.losses.get(source, {}) if source else line.loss_by_modality).get(modality) for line in lines]
    found = [value for value in values if value is not None]
    return decimal(sum(found) / len(found)) if found else NOT_REPORTED


def in_points(change: float, low: float, high: float) -> str:
    """A difference of shares in points with its interval: "-1.2 (-2.0 to -0.4)"."""
    return f"{100 * change:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
