"""Finished evaluations as they are compared: protocols, and what every item counts in every measure.

An item counts as an amount of a size. Of an accuracy that is its credit, of size 1; of an error rate its errors, among
its words or characters. A score is the sum of amounts over the sum of sizes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.corpus.compressed_lines import open_lines
from megatron_speech.evaluation.protocol import FILE, differences
from megatron_speech.evaluation.tasks.interface import EVALUATION_TASK

ITEMS = "items.jsonl"
RATES = {"wer": ("word_edits", "words"), "cer": ("character_edits", "characters")}
"""Keys of errors and sizes in records, by error rate."""


class Measure(NamedTuple):
    """What a score measures."""

    evaluation_task: str
    """Name of the evaluation task, such as ``questions``."""
    task: str
    """Data set, or what the evaluation task calls its items."""
    pair: str
    """Modality pair, with the way of answering."""
    rate: str = ""
    """``wer`` or ``cer``; empty for an accuracy."""

    @property
    def data_sets(self) -> tuple[str, str]:
        """Names under which `check_contamination` may know its items."""
        return self.task, self.evaluation_task

    @property
    def shown(self) -> str:
        """Pair and rate."""
        return f"{self.pair} {self.rate}".strip()


Amount = tuple[float, float]
"""What an item counts, and its size."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    protocols: dict[str, dict[str, Any]]
    amounts: dict[Measure, dict[str, Amount]]
    """Of every item, by measure."""


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in `folder`; ValueError if it is none, or of a version before protocols or names of tasks."""
    if (kind := read_manifest(folder).kind) != "evaluation":
        raise ValueError(f"evaluations: {folder} is of kind {kind}; name folders that evaluate made")
    if not (folder / FILE).is_file():
        raise _older(folder, f"holds no {FILE}")
    found: defaultdict[Measure, defaultdict[str, list[Amount]]] = defaultdict(lambda: defaultdict(list))
    with open_lines(folder / ITEMS) as lines:
        for record in map(json.loads, lines):
            if EVALUATION_TASK not in record:
                raise _older(folder, f"has lines in {ITEMS} without {EVALUATION_TASK}")
            for measure, amount in _amounts(record):
                found[measure][str(record["item"])].append(amount)
    amounts = {
        measure: {item: _sum(each, mean=not measure.rate) for item, each in by_item.items()}
        for measure, by_item in found.items()
    }
    return Evaluation(folder=folder, protocols=read_json(folder / FILE), amounts=amounts)


def _older(folder: Path, why: str) -> ValueError:
    return ValueError(f"evaluations: {folder} {why}: it is of an older version; evaluate the model again")


def _amounts(record: Mapping[str, Any]) -> Iterator[tuple[Measure, Amount]]:
    """What the record of an answer counts in each measure; nothing in a record of another kind."""
    counted = {"": (record["credit"], 1)} if "credit" in record else {}
    counted |= {rate: (record[edits], record[size]) for rate, (edits, size) in RATES.items() if size in record}
    for rate, (amount, size) in counted.items():
        names = (str(record[EVALUATION_TASK]), str(record["task"]), str(record.get("pair", "")))
        yield Measure(*names, rate), (float(amount), float(size))


def _sum(amounts: Sequence[Amount], *, mean: bool) -> Amount:
    """All records of an item: their mean credit, or their errors and words in sum."""
    amount, size = (sum(column) for column in zip(*amounts, strict=True))
    return (amount / size, 1.0) if mean else (amount, size)


def require_equal_protocols(first: Evaluation, other: Evaluation, *, accept: Sequence[str]) -> None:
    """Raise ValueError with all that differs between the protocols of tasks that both have."""
    found = {
        f"{task}.{key}": change
        for task in first.protocols.keys() & other.protocols.keys()
        for key, change in differences(first.protocols[task], other.protocols[task], accept=accept).items()
    }
    if found:
        shown = ", ".join(f"{name.split('.')[0]}.{change}" for name, change in sorted(found.items()))
        keys = ", ".join(sorted({name.split(".")[1] for name in found}))
        raise ValueError(
            f"{first.folder} and {other.folder} were evaluated by different protocols ({shown}); evaluate again "
            f"with equal ones, or accept: [{keys}]"
        )


def require_same_items(measure: Measure, first: Evaluation, other: Evaluation, *, asked: Measure | None = None) -> None:
    """Raise ValueError that names an item which only one has, or whose text has another length in each.

    `asked` is the measure of `other`, if it is another one.
    """
    asked = asked or measure
    mine, its = first.amounts[measure], other.amounts[asked]
    name = f"{asked.task} {asked.shown}"
    if unlike := mine.keys() ^ its.keys():
        raise ValueError(
            f"{first.folder} and {other.folder}: {len(unlike)} items of {name} are in one of them only, such as "
            f"{min(unlike)!r}; evaluate both on the same items"
        )
    if unequal := [item for item, (_, size) in mine.items() if its[item][1] != size]:
        raise ValueError(
            f"{first.folder} and {other.folder}: {len(unequal)} items of {name} have texts of other lengths, such as "
            f"{min(unequal)!r}; evaluate both on the same texts"
        )
