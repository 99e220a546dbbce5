"""Scores of evaluations, and their differences item by item: may a difference be believed?

The first evaluation is compared with each other. Evaluations by unequal protocols, or of other items, are refused with
what differs. Differences have 95 % intervals, and McNemar's exact test.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.corpus.compressed_lines import open_lines
from megatron_speech.evaluation.protocol import FILE, differences
from megatron_speech.metrics.intervals import mcnemar, mean_interval, paired_difference

ITEMS = "items.jsonl"
Measure = tuple[str, str]
"""Task and modality pair of a score."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A finished evaluation, as it is compared."""

    folder: Path
    protocols: dict[str, dict[str, Any]]
    credits: dict[Measure, dict[str, float]]
    """Mean credit of every item, by task and modality pair."""


@dataclass(frozen=True, kw_only=True)
class ComparedScore(Record):
    """The scores of all models on one measure."""

    task: str
    pair: str
    items: int
    chance: float | None
    """Accuracy of guessing, a fraction."""
    scores: list[EstimateFacts]
    """Of each evaluation."""
    differences: list[EstimateFacts]
    """Of each but the first evaluation, minus the first."""
    p: list[float | None] = field(default_factory=list)
    """McNemar's, of the same; null if credits are shared, so that they are no 0 and 1."""


def compared_scores(config: CompareEvaluationsConfig, *, without: Collection[str] = frozenset()) -> list[ComparedScore]:
    """Scores of all measures that the evaluations share; items `without` are left out.

    Raises ValueError if the protocols or the items differ, or if nothing is shared.
    """
    first, *others = [read_evaluation(folder) for folder in config.evaluations]
    for other in others:
        require_equal_protocols(first, other, accept=config.accept)
    shared = [measure for measure in first.credits if all(measure in other.credits for other in others)]
    if not shared:
        names = ", ".join(str(folder) for folder in config.evaluations)
        raise ValueError(f"evaluations={names}: no task with items is in all of them; evaluate the same tasks")
    compared = (_compared(measure, [first, *others], config, without) for measure in shared)
    return [score for score in compared if score is not None]


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in `folder`; ValueError if it is none, or was made before there were protocols."""
    if (kind := read_manifest(folder).kind) != "evaluation":
        raise ValueError(f"evaluations: {folder} is of kind {kind}; name folders that evaluate made")
    if not (folder / FILE).is_file():
        raise ValueError(f"evaluations: {folder} holds no {FILE}: it is of an older version; evaluate the model again")
    credits: defaultdict[Measure, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with open_lines(folder / ITEMS) as lines:
        for line in lines:
            record = json.loads(line)
            if "credit" in record:
                measure = (str(record["task"]), str(record.get("pair", "")))
                credits[measure][str(record["item"])].append(float(record["credit"]))
    means = {
        measure: {item: sum(values) / len(values) for item, values in by_item.items()}
        for measure, by_item in credits.items()
    }
    return Evaluation(folder=folder, protocols=read_json(folder / FILE), credits=means)


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


def _compared(
    measure: Measure, evaluations: Sequence[Evaluation], config: CompareEvaluationsConfig, without: Collection[str]
) -> ComparedScore | None:
    """None if no item is left."""
    first, *others = [evaluation.credits[measure] for evaluation in evaluations]
    for evaluation, credits in zip(evaluations[1:], others, strict=True):
        require_same_items(measure, evaluations[0], evaluation, first.keys() ^ credits.keys())
    kept = sorted(first.keys() - {*without})
    if not kept:
        return None
    columns = [[credits[item] for item in kept] for credits in (first, *others)]
    options = {"seed": config.seed, "resamples": config.resamples}
    chances = {task: value for each in evaluations[0].protocols.values() for task, value in each["chance"].items()}
    return ComparedScore(
        task=measure[0],
        pair=measure[1],
        items=len(kept),
        chance=chances.get(measure[0]),
        scores=[mean_interval(column, **options).rounded() for column in columns],
        differences=[paired_difference(columns[0], column, **options).rounded() for column in columns[1:]],
        p=[_p(columns[0], column) for column in columns[1:]],
    )


def require_same_items(measure: Measure, first: Evaluation, other: Evaluation, unlike: set[str]) -> None:
    """Raise ValueError that names one of the items `unlike`, which only one of the evaluations has, if there is any."""
    if unlike:
        raise ValueError(
            f"{first.folder} and {other.folder}: {len(unlike)} items of {' '.join(measure)} are in one of them only, "
            f"such as {min(unlike)!r}; evaluate both on the same items"
        )


def _p(first: Sequence[float], second: Sequence[float]) -> float | None:
    return round(mcnemar(first, second), 6) if {*first, *second} <= {0.0, 1.0} else None
