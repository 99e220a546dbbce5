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
from megatron_speech.evaluation.comparison.evaluations import (
    Evaluation,
    Measure,
    read_evaluation,
    require_equal_protocols,
    require_same_items,
)
from megatron_speech.evaluation.comparison.published import ACCURACY, PublishedRow, incomparable, rows_of
from megatron_speech.evaluation.comparison.scores import ComparedScore, score_of
from megatron_speech.evaluation.comparison.table import aligned, percent, task_names
from megatron_speech.evaluation.tasks.interface import BY_WHISPER

WRITTEN = "text->text"
HEARD = ("data", "prompt")
"""Entries of the protocol of a cascade that differ, because its texts are those that Whisper heard."""


@dataclass(frozen=True, kw_only=True)
class Reference(Record):
    """A score to hold others against; it names the measure as `ComparedScore` does."""

    evaluation_task: str
    task: str
    pair: str
    rate: str = ""
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
    """Why a published score cannot be compared with ours; empty if it can."""
    note: str = ""

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return Measure(self.evaluation_task, self.task, self.pair, self.rate)


def references_of(
    config: CompareEvaluationsConfig, scores: Sequence[ComparedScore], names: Sequence[str]
) -> list[Reference]:
    """References of all measures in `scores`, of evaluations called `names`.

    Raises ValueError if a bottom line or a cascade has another protocol, or if `published` names an unknown task.
    """
    first = read_evaluation(config.evaluations[0])
    shown = task_names([score.measure for score in scores])
    if unknown := [task for task in config.published if task not in shown.values()]:
        tasks = ", ".join(sorted({*shown.values()}))
        raise ValueError(f"published.{unknown[0]}: no task of the evaluations; they have {tasks}")
    published = {task: rows_of(name, key=f"published.{task}") for task, name in config.published.items()}
    found = _measured(config, first, scores, kind="bottom line", folder=config.bottom_line)
    found += _toplines(scores, names)
    found += _measured(config, first, scores, kind="cascade", folder=config.cascade)
    for score in scores:
        rows = [row for row in published.get(shown[score.measure], []) if row.pair == score.pair.partition(" ")[0]]
        protocol = first.protocols.get(score.evaluation_task)
        found += [_published(row, score, protocol) for row in rows if score.rate in ("", row.measure.lower())]
    return found


def reference_lines(
    scores: Sequence[ComparedScore], references: Sequence[Reference], names: Sequence[str]
) -> Iterator[str]:
    """The table of measures that have references, lowest kind first."""
    rows = [("task", "pair", "what", "score")]
    shown = task_names([score.measure for score in scores])
    for score in scores:
        own = [each for each in references if each.measure == score.measure]
        below = [] if score.chance is None else [("chance", f"{100 * score.chance:.1f}")]
        below += [_cells(each) for each in own if each.kind == "bottom line"]
        models = [(name, percent(estimate)) for name, estimate in zip(names, score.scores, strict=True)]
        above = [_cells(each) for each in own if each.kind != "bottom line"]
        block = [*below, *models, *above] if own else []
        for place, (what, value) in enumerate(block):
            name = (shown[score.measure], score.measure.shown) if place == 0 else ("", "")
            rows.append((*name, what, value))
    yield from aligned(rows)


def _cells(reference: Reference) -> tuple[str, str]:
    if reference.score is not None:
        return f"{reference.kind}: {reference.of}", percent(reference.score)
    verdict = f"not comparable: {reference.not_comparable}" if reference.not_comparable else "comparable"
    note = f" ({reference.note})" if reference.note else ""
    return f"{reference.of} [{reference.source}]", f"{reference.published:.1f}, {verdict}{note}"


def _toplines(scores: Sequence[ComparedScore], names: Sequence[str]) -> list[Reference]:
    """Of every pair with speech: what each model scores on the same items in writing."""
    measured = {score.measure: score.scores for score in scores}
    return [
        Reference(**score.measure._asdict(), kind="topline", of=f"{name}, {written.pair}", score=estimate)
        for score in scores
        if "speech" in score.pair and (written := _written(score.measure)) in measured
        for name, estimate in zip(names, measured[written], strict=True)
    ]


def _written(measure: Measure) -> Measure:
    """The same measure in writing: the pair is text->text. What follows the pair stays, but for the recogniser."""
    _, space, way = measure.pair.removesuffix(f" {BY_WHISPER}").partition(" ")
    return measure._replace(pair=f"{WRITTEN}{space}{way}")


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
    for measure in (score.measure for score in scores):
        asked = _written(measure) if heard else measure
        if asked in other.amounts and (not heard or "speech" in measure.pair):
            require_same_items(measure, first, other, asked=asked)
            amounts = [amount for _, amount in sorted(other.amounts[asked].items())]
            estimate = score_of(measure, amounts, config)
            found.append(Reference(**measure._asdict(), kind=kind, of=str(folder), score=estimate))
    return found


def _published(row: PublishedRow, score: ComparedScore, protocol: Mapping[str, Any] | None) -> Reference:
    measure = score.rate.upper() or ACCURACY
    unknown = "our protocol is not known"
    return Reference(
        **score.measure._asdict(),
        kind="published",
        of=row.model,
        source=row.source,
        published=row.value,
        not_comparable=incomparable(row, protocol, score.items, measure=measure) if protocol else unknown,
        note=row.note,
    )
