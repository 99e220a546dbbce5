"""Lays compared scores out as a table of aligned columns.

    task            pair         items  chance  a                     b                     b - a                   p
    WikiTopicCloze  text->text     240   50.0   61.2 (54.9 to 67.2)   70.8 (64.8 to 76.2)   +9.6 (+3.3 to +15.8)  0.004

Scores are percent, with 95 % intervals; p is McNemar's, exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.evaluation.comparison.scores import ComparedScore


def score_lines(compared: Sequence[ComparedScore], names: Sequence[str]) -> Iterator[str]:
    """A row per measure, with the scores of the evaluations called `names`."""
    first, *others = names
    head = ["task", "pair", "items", "chance", *names]
    head += [word for name in others for word in (f"{name} - {first}", "p")]
    yield from aligned([head, *(_row(score) for score in compared)])


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


def _row(score: ComparedScore) -> list[str]:
    cells = [score.task, score.pair, str(score.items), "-" if score.chance is None else f"{100 * score.chance:.1f}"]
    cells += [percent(estimate) for estimate in score.scores]
    for difference, p in zip(score.differences, score.p, strict=True):
        cells += [percent(difference, sign="+"), "-" if p is None else f"{p:.3f}"]
    return cells
