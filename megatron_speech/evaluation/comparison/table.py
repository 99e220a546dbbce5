"""Lays compared scores out as a table of aligned columns.

    task            pair         items  chance  a                     b                     b - a                   p
    WikiTopicCloze  text->text     240   50.0   61.2 (54.9 to 67.2)   70.8 (64.8 to 76.2)   +9.6 (+3.3 to +15.8)  0.004

Scores are percent, with 95 % intervals; p is McNemar's, exact. Error rates have wer or cer behind the pair. A data set
that two evaluation tasks read has the name of its evaluation task before its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.evaluation.comparison.evaluations import Measure
from megatron_speech.evaluation.comparison.scores import ComparedScore

LOWER = "lower is better"


def score_lines(compared: Sequence[ComparedScore], names: Sequence[str]) -> Iterator[str]:
    """A row per measure, with the scores of the evaluations called `names`."""
    first, *others = names
    head = ["task", "pair", "items", "chance", *names]
    head += [word for name in others for word in (f"{name} - {first}", "p")]
    shown = task_names([score.measure for score in compared])
    yield from aligned([head, *(_row(score, shown[score.measure]) for score in compared)])
    if rates := list(dict.fromkeys(score.rate for score in compared if score.rate)):
        yield f"{', '.join(rates)}: {LOWER}"


def task_names(measures: Sequence[Measure]) -> dict[Measure, str]:
    """Name of the task of each measure, with that of the evaluation task where two have one of this name."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for measure in measures:
        owners[measure.task].add(measure.evaluation_task)
    return {
        each: f"{each.evaluation_task}.{each.task}" if len(owners[each.task]) > 1 else each.task for each in measures
    }


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of equally many cells, padded to columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def percent(estimate: EstimateFacts, *, sign: str = "") -> str:
    """An estimate with its interval, in percent."""
    value, low, high = (f"{100 * each:{sign}.1f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def names_of(folders: Sequence[Path]) -> list[str]:
    """Shortest endings of the paths that differ from each other."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _row(score: ComparedScore, name: str) -> list[str]:
    chance = "-" if score.chance is None else f"{100 * score.chance:.1f}"
    cells = [name, score.measure.shown, str(score.items), chance]
    cells += [percent(estimate) for estimate in score.scores]
    for difference, p in zip(score.differences, score.p, strict=True):
        cells += [percent(difference, sign="+"), "-" if p is None else f"{p:.3f}"]
    return cells
