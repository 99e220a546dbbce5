"""What a score lies between: chance and a bottom line below, toplines above, published scores beside it.

    task            pair          what                    score
    WikiTopicCloze  speech->text  chance                  50.0
                                  bottom line: text_only  51.2 (44.9 to 57.5)
                                  a                       61.2 (54.9 to 67.2)
                                  topline: a, text->text  82.5 (77.2 to 86.8)
                                  cascade: whisper        79.2 (73.6 to 83.8)

The topline of a pair with speech is the same model on the same items in writing. A cascade asks a language model what
Whisper heard: its items have the same ids, with other texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.evaluation.comparison.published import PublishedRow, incomparable, rows_of
from megatron_speech.evaluation.comparison.scores import (
    ComparedScore,
    Evaluation,
    Measure,
    read_evaluation,
    require_equal_protocols,
    require_same_items,
)
from megatron_speech.evaluation.comparison.table import aligned, percent
from megatron_speech.metrics.intervals import mean_interval

WRITTEN = "text->text"
HEARD = ("data", "prompt")
"""Entries of the protocol of a cascade that differ, because its texts are those that Whisper heard."""


@dataclass(frozen=True, kw_only=True)
class Reference(Record):
    """A score to hold others against."""

    task: str
    pair: str
    kind: str
    """bottom line, topline, cascade or published."""
    of: str
    """Evaluation, or model of a published score."""
    source: str = ""
    """Where a published score stands."""
    score: EstimateFacts | None = None
    """Fractions; null for a published score."""
    published: float | None = None
    """Percent."""
    not_comparable: str = ""
    """Why a published score is none to compare with; empty if it is."""
    note: str = ""


def references_of(
    config: CompareEvaluationsConfig, scores: Sequence[ComparedScore], names: Sequence[str]
) -> list[Reference]:
    """References of all measures in `scores`, of evaluations called `names`.

    Raises ValueError if a bottom line or a cascade was evaluated otherwise, or if `published` names what is unknown.
    """
    first = read_evaluation(config.evaluations[0])
    tasks = {score.task for score in scores}
    if unknown := [task for task in config.published if task not in tasks]:
        raise ValueError(f"published.{unknown[0]}: no task of the evaluations; they have {', '.join(sorted(tasks))}")
    published = {task: rows_of(name, key=f"published.{task}") for task, name in config.published.items()}
    found = _measured(config, first, scores, kind="bottom line", folder=config.bottom_line)
    found += _toplines(scores, names)
    found += _measured(config, first, scores, kind="cascade", folder=config.cascade)
    for score in scores:
        rows = [row for row in published.get(score.task, []) if row.pair == score.pair.partition(" ")[0]]
        found += [_published(row, score, _protocol(first, score.task)) for row in rows]
    return found


def reference_lines(
    scores: Sequence[ComparedScore], references: Sequence[Reference], names: Sequence[str]
) -> Iterator[str]:
    """The table of measures that have references, lowest kind first."""
    rows = [("task", "pair", "what", "score")]
    for score in scores:
        own = [each for each in references if (each.task, each.pair) == (score.task, score.pair)]
        below = [] if score.chance is None else [("chance", f"{100 * score.chance:.1f}")]
        below += [_cells(each) for each in own if each.kind == "bottom line"]
        models = [(name, percent(estimate)) for name, estimate in zip(names, score.scores, strict=True)]
        above = [_cells(each) for each in own if each.kind != "bottom line"]
        block = [*below, *models, *above] if own else []
        for place, (what, value) in enumerate(block):
            rows.append((*((score.task, score.pair) if place == 0 else ("", "")), what, value))
    yield from aligned(rows)


def _cells(reference: Reference) -> tuple[str, str]:
    if reference.score is not None:
        return f"{reference.kind}: {reference.of}", percent(reference.score)
    verdict = f"not comparable: {reference.not_comparable}" if reference.not_comparable else "comparable"
    note = f" ({reference.note})" if reference.note else ""
    return f"{reference.of} [{reference.source}]", f"{reference.published:.1f}, {verdict}{note}"


def _toplines(scores: Sequence[ComparedScore], names: Sequence[str]) -> list[Reference]:
    """Of every pair with speech: what each model scores on the same items in writing."""
    measured = {(score.task, score.pair): score.scores for score in scores}
    return [
        Reference(task=score.task, pair=score.pair, kind="topline", of=f"{name}, {written}", score=estimate)
        for score in scores
        if "speech" in score.pair and (score.task, written := _written(score.pair)) in measured
        for name, estimate in zip(names, measured[score.task, written], strict=True)
    ]


def _written(pair: str) -> str:
    """The pair without speech; a way of answering behind it stays."""
    _, space, way = pair.partition(" ")
    return f"{WRITTEN}{space}{way}"


def _measured(
    config: CompareEvaluationsConfig,
    first: Evaluation,
    scores: Sequence[ComparedScore],
    *,
    kind: str,
    folder: Path | None,
) -> list[Reference]:
    """Scores of another evaluation on the items of `first`; a cascade is asked in writing what others are asked aloud.

    Raises ValueError if its protocol or its items differ.
    """
    if folder is None:
        return []
    heard = kind == "cascade"
    other = read_evaluation(folder)
    require_equal_protocols(first, other, accept=[*config.accept, *(HEARD if heard else ())])
    found = []
    for score in scores:
        measure: Measure = (score.task, _written(score.pair) if heard else score.pair)
        if measure in other.credits and (not heard or "speech" in score.pair):
            own = first.credits[score.task, score.pair]
            require_same_items(measure, first, other, own.keys() ^ other.credits[measure].keys())
            values = [other.credits[measure][item] for item in sorted(own)]
            estimate = mean_interval(values, seed=config.seed, resamples=config.resamples).rounded()
            found.append(Reference(task=score.task, pair=score.pair, kind=kind, of=str(folder), score=estimate))
    return found


def _published(row: PublishedRow, score: ComparedScore, protocol: Mapping[str, Any] | None) -> Reference:
    reason = "our protocol is not known" if protocol is None else incomparable(row, protocol, score.items)
    return Reference(
        task=score.task,
        pair=score.pair,
        kind="published",
        of=row.model,
        source=row.source,
        published=row.value,
        not_comparable=reason,
        note=row.note,
    )


def _protocol(evaluation: Evaluation, task: str) -> Mapping[str, Any] | None:
    """The protocol behind the records of `task`: the one with its chance, or the only one with a matcher."""
    protocols = evaluation.protocols.values()
    guessed = [each for each in protocols if task in each["chance"]]
    matched = [each for each in protocols if each.get("matcher")]
    found = guessed or matched
    return found[0] if len(found) == 1 else None
