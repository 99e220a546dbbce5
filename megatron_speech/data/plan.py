"""A run's data, decided before it starts: how many rows of which source, in which order.

The order is a pure function of the sample number (see `data.order`), so a run resumes by one integer, in any layout:
neither ranks nor threads nor batch sizes hold state. The fingerprint names sources, shares, seed and every byte of the
shards; sample numbers mean nothing in another plan. Price: the mixture cannot change during a run, and a source's rows
are spread evenly over it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from megatron_speech.config.data import DataConfig, LossConfig
from megatron_speech.data.index import FolderIndex
from megatron_speech.data.order import Ints, consumed, epoch_keys, largest_remainder, permute, split
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class PlannedSource:
    """One source and its exact share."""

    name: str
    """As in the configuration; also seeds the order of its rows."""
    folder: Path
    """Where the packed shards lie; no part of the plan's identity."""
    rows: int
    """Rows it has."""
    budget: int
    """Rows that will be read."""
    max_epochs: float | None
    """The limit on `epochs`."""
    loss: LossConfig
    """What its tokens teach, decided."""
    text_share: float
    """Text labels among its labels, padding left out of both."""
    checksum: str
    """Identity of its shards."""

    @property
    def epochs(self) -> float:
        """How often it is read."""
        return self.budget / self.rows


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of `num_samples` rows over all sources."""

    sources: tuple[PlannedSource, ...]
    """In the order of the configuration; `Row.source` indexes them."""
    seq_length: int
    """Labels per row."""
    seed: int
    """Seed of the order."""
    vocabulary: str
    """Fingerprint of all sources' vocabulary."""

    @property
    def num_samples(self) -> int:
        """Rows in the whole run."""
        return sum(source.budget for source in self.sources)

    @property
    def fingerprint(self) -> str:
        """sha256 of everything that decides what sample number g teaches; where the folders lie does not."""
        deciding = ("name", "rows", "budget", "loss", "checksum")
        values = self.to_json()
        values["sources"] = [{key: source[key] for key in deciding} for source in values["sources"]]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def locate(self, number: int) -> tuple[int, int]:
        """(source index, row in the source) of one sample number."""
        source, row = self.locate_many(np.array([number]))
        return int(source[0]), int(row[0])

    def locate_many(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Like `locate`, for an array [n]."""
        source, before = split(np.asarray(numbers, np.int64), [entry.budget for entry in self.sources])
        row = np.empty_like(before)
        for index in np.unique(source):
            entry, mine = self.sources[index], np.flatnonzero(source == index)
            epoch, position = np.divmod(before[mine], entry.rows)
            row[mine] = permute(position, entry.rows, epoch_keys(self.seed, entry.name, epoch))
        return source, row

    def consumed(self, number: int) -> dict[str, int]:
        """Rows of each source among the first `number` samples."""
        counts = consumed(number, [source.budget for source in self.sources])
        return {source.name: count for source, count in zip(self.sources, counts, strict=True)}

    def describe(self) -> str:
        """A table for people: rows, tokens, epochs, share and loss (targets, weights of text and speech) by source."""
        lines = [f"{'source':<20}{'rows':>10}{'read':>12}{'tokens':>16}{'share':>8}{'epochs':>8}{'text':>7}  loss"]
        for source in self.sources:
            tokens, share = source.budget * self.seq_length, source.budget / max(1, self.num_samples)
            loss = f"{source.loss.tokens} {source.loss.text_weight:g}:{source.loss.speech_weight:g}"
            lines.append(
                f"{source.name:<20}{source.rows:>10,}{source.budget:>12,}{tokens:>16,}"
                f"{share:>8.1%}{source.epochs:>8.2f}{source.text_share:>7.0%}  {loss}"
            )
        total = self.num_samples * self.seq_length
        lines.append(f"{'total':<20}{'':>10}{self.num_samples:>12,}{total:>16,}{'100.0%':>8}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, for a run folder."""
        sources = [{**asdict(source), "folder": str(source.folder)} for source in self.sources]
        return {
            "sources": sources,
            "seq_length": self.seq_length,
            "seed": self.seed,
            "vocabulary": self.vocabulary,
            "num_samples": self.num_samples,
        }


def compile_plan(
    config: DataConfig,
    *,
    vocabulary: Vocabulary,
    num_samples: int,
    section: Literal["data.sources", "data.validation"] = "data.sources",
) -> Plan:
    """Share `num_samples` rows out among `config.sources` and fix their order; errors name the sources by `section`.

    Raises:
        FileNotFoundError: a source's folder holds no packed shards.
        ValueError: a source was packed otherwise (vocabulary, seq_length), or would be read above its max_epochs.
    """
    folders = {
        name: _open(source.folder, config, vocabulary, key=f"{section}.{name}.folder")
        for name, source in config.sources.items()
    }
    budgets = largest_remainder([source.weight for source in config.sources.values()], num_samples)
    sources = [
        PlannedSource(
            name=name,
            folder=source.folder,
            rows=folders[name].items,
            budget=budget,
            max_epochs=source.max_epochs,
            loss=source.policy,
            text_share=folders[name].text_tokens / max(1, folders[name].text_tokens + folders[name].speech_tokens),
            checksum=folders[name].checksum,
        )
        for (name, source), budget in zip(config.sources.items(), budgets, strict=True)
    ]
    _require_epochs(sources, section)
    return Plan(
        sources=tuple(sources),
        seq_length=config.seq_length,
        seed=config.seed,
        vocabulary=vocabulary.fingerprint,
    )


def _open(folder: Path, config: DataConfig, vocabulary: Vocabulary, *, key: str) -> FolderIndex:
    try:
        index = FolderIndex.load(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{key}={error}") from error  # the message begins with the folder
    if index.kind != "rows":
        raise ValueError(f"{key}={folder} holds {index.kind}, not packed rows; run tools/pack_shards.py")
    vocabulary.require(index.vocabulary, holder=f"{key}={folder}")
    if index.seq_length != config.seq_length:
        raise ValueError(
            f"{key}={folder} was packed with seq_length={index.seq_length} where "
            f"data.seq_length={config.seq_length}; pack it again or change data.seq_length"
        )
    return index


def _require_epochs(sources: list[PlannedSource], section: str) -> None:
    """Refuse a plan that repeats a source more than allowed, naming every source's rows and epochs."""

    def excessive(source: PlannedSource) -> bool:
        return source.max_epochs is not None and source.budget > Fraction(source.max_epochs) * source.rows

    if any(excessive(source) for source in sources):
        table = "; ".join(
            f"{source.name}: {source.budget} of {source.rows} rows, {source.epochs:.2f} epochs"
            + ("" if source.max_epochs is None else f" (max_epochs={source.max_epochs})")
            + (" TOO MANY" if excessive(source) else "")
            for source in sources
        )
        raise ValueError(f"{section}: {table}: lower train.tokens or that source's weight, or raise its max_epochs")
