"""A run's data, decided before it starts: the number of rows of each source in every stage, and their order.

The order is a pure function of the sample number (see `data.plan.order`). So one integer resumes a run in any layout:
ranks, threads and batch sizes hold no state. Every source has one sequence of rows, epoch after epoch, and each stage
continues it. A stage decides only how the sources alternate, so a new mixture is a new stage, without repeated or
skipped rows.

The fingerprint covers sources, budgets, seed and every byte of the shards; a sample number has no meaning in another
plan. Limitation: within a stage, every source's rows are spread evenly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.config.run.data import LossConfig
from megatron_speech.config.run.reader import url_or_path
from megatron_speech.data.plan.order import mix, mixed
from megatron_speech.data.plan.permutation import epoch_rows
from megatron_speech.randomness import Ints, named_keys


@dataclass(frozen=True, kw_only=True)
class PlannedSource:
    """One lesson: a source with one loss policy; a source with two policies appears twice under the same name."""

    name: str
    """Name in the configuration; also seeds the order of the rows."""
    folder: str | Path
    """Folder or URL of the packed shards; not part of the plan's fingerprint."""
    rows: int
    """Number of rows."""
    max_epochs: float | None
    """Limit on passes over the rows; None for no limit."""
    loss: LossConfig
    """Loss policy, with `tokens` resolved."""
    text_share: float
    """Share of text among all labels, without padding."""
    checksum: str
    """Identity of its shards."""


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """Consecutive samples with one mixture."""

    name: str
    """Name of the stage in tables."""
    budgets: dict[int, int]
    """Rows by index of the source in the plan; the budgets decide how sources alternate."""
    samples: int
    """Number of rows to read: all budgets, or fewer if the run leaves the stage early."""


@dataclass(frozen=True, kw_only=True)
class OrderSizes:
    """Constants of the order, stored in each plan so that new defaults do not change runs that have started."""

    window: int = 4096
    """Number of samples within which sources alternate at random."""
    chunk: int = 128
    """Number of consecutive rows that are read near each other."""
    open_chunks: int = 64
    """Number of chunks with jointly shuffled rows."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Order of the `num_samples` rows of a run, over all stages and sources."""

    sources: tuple[PlannedSource, ...]
    """`DataConfig.lessons`, in order; `Row.source` is an index into them."""
    stages: tuple[PlannedStage, ...]
    """Stages in the order of reading."""
    seq_length: int
    """Labels per row."""
    seed: int
    """Seed of the order."""
    vocabulary: str
    """Fingerprint of the vocabulary of all sources."""
    order: OrderSizes = field(default_factory=OrderSizes)
    """Constants of the order of samples."""

    @cached_property
    def num_samples(self) -> int:
        """Number of rows in the whole run."""
        return self.ends[-1]

    @cached_property
    def ends(self) -> list[int]:
        """First sample number after each stage."""
        return list(accumulate(stage.samples for stage in self.stages))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything that decides the content of a sample; names of stages and folders are excluded."""
        values = self.to_json()
        deciding = ("name", "rows", "loss", "checksum")
        values["sources"] = [{key: source[key] for key in deciding} for source in values["sources"]]
        values["stages"] = [[stage["budgets"], stage["samples"]] for stage in values["stages"]]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def locate_many(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Find source index [n] and row [n] of sample numbers [n]; a whole window costs little more than one number."""
        numbers = np.asarray(numbers, np.int64)
        stage_of = np.searchsorted(self.ends, numbers, side="right")
        source, row = np.empty_like(numbers), np.empty_like(numbers)
        # Find each sample's source, and its place in the source's sequence of rows.
        for index in np.unique(stage_of).tolist():
            mine = np.flatnonzero(stage_of == index)
            first = self.ends[index] - self.stages[index].samples
            indices, budgets = self._mixture(index)
            which, before = mix(numbers[mine] - first, budgets, **self._shuffle(index))
            source[mine] = np.array(indices)[which]
            row[mine] = before + np.array([self._stands[index].get(self.sources[i].name, 0) for i in indices])[which]
        # Turn that place into a row of the epoch's permutation.
        for index in np.unique(source).tolist():
            entry, mine = self.sources[index], np.flatnonzero(source == index)
            epoch, position = np.divmod(row[mine], entry.rows)
            keys = named_keys(self.seed, f"rows of {entry.name}", epoch)
            sizes = {"chunk": self.order.chunk, "open_chunks": self.order.open_chunks}
            row[mine] = epoch_rows(position, entry.rows, keys, **sizes)
        return source, row

    def consumed(self, number: int) -> dict[str, int]:
        """Rows of each source among the first `number` samples."""
        index = int(np.searchsorted(self.ends, number))
        counts = {source.name: self._stands[index].get(source.name, 0) for source in self.sources}
        for entry, count in self.read_in(index, number - (self.ends[index] - self.stages[index].samples)).items():
            counts[self.sources[entry].name] += count
        return counts

    def read_in(self, stage: int, samples: int) -> dict[int, int]:
        """Rows by index of the source among the first `samples` samples of a stage."""
        indices, budgets = self._mixture(stage)
        return dict(zip(indices, mixed(samples, budgets, **self._shuffle(stage)), strict=True))

    @cached_property
    def _stands(self) -> list[dict[str, int]]:
        """Rows of each source read before each stage, and after the last one."""
        stands: list[dict[str, int]] = [{}]
        for index, stage in enumerate(self.stages):
            after = dict(stands[-1])
            for entry, count in self.read_in(index, stage.samples).items():
                after[self.sources[entry].name] = after.get(self.sources[entry].name, 0) + count
            stands.append(after)
        return stands

    def _mixture(self, stage: int) -> tuple[list[int], list[int]]:
        """Sources that a stage reads, and their budgets; a source with budget 0 does not affect the order."""
        budgets = {index: rows for index, rows in self.stages[stage].budgets.items() if rows}
        return list(budgets), list(budgets.values())

    def _shuffle(self, stage: int) -> dict[str, Any]:
        return {"window": self.order.window, "seed": self.seed, "name": f"stage {stage}"}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, for a run folder."""
        values = asdict(self)
        for source in values["sources"]:
            source["folder"] = str(source["folder"])
        for stage in values["stages"]:
            stage["budgets"] = list(map(list, stage["budgets"].items()))
        return {**values, "num_samples": self.num_samples}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Inverse of `to_json`; other keys are ignored."""
        sources = [
            PlannedSource(**{**source, "folder": url_or_path(source["folder"]), "loss": LossConfig(**source["loss"])})
            for source in values["sources"]
        ]
        stages = [PlannedStage(**{**stage, "budgets": dict(stage["budgets"])}) for stage in values["stages"]]
        facts = {key: values[key] for key in ("seq_length", "seed", "vocabulary")}
        return cls(sources=tuple(sources), stages=tuple(stages), order=OrderSizes(**values["order"]), **facts)
