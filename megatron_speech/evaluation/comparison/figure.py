"""Draws the differences of compared evaluations as a forest plot: one row per measure, with its 95 % interval.

An interval that leaves out zero is a difference that may be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from megatron_speech.evaluation.comparison.scores import ComparedScore
from megatron_speech.evaluation.comparison.table import task_names
from megatron_speech.reports.plots import new_figure, save_figure
from megatron_speech.reports.styles import INK, name_series, styles

ROW_INCHES = 0.3
"""Height of an interval."""


def draw(scores: Sequence[ComparedScore], names: Sequence[str], path: Path) -> None:
    """Save the figure as PNG. Raises ValueError if matplotlib is not installed."""
    first, *others = names
    named = styles([f"{name} - {first}" for name in dict.fromkeys(others)])
    figure, (panel,) = new_figure(1, width=8.0)
    figure.set_figheight(1.6 + ROW_INCHES * len(scores) * (len(others) + 1))
    panel.axvline(0, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    for row, score in enumerate(scores):
        for place, (name, difference) in enumerate(zip(others, score.differences, strict=True)):
            height = row + (place - (len(others) - 1) / 2) / (len(others) + 1)
            value, low, high = (100 * each for each in (difference.value, difference.low, difference.high))
            style = named[f"{name} - {first}"]
            panel.plot([low, high], [height, height], color=style.colour, linewidth=2)
            panel.plot(value, height, style.marker, color=style.colour, markersize=7)
    shown = task_names([score.measure for score in scores])
    labels = [f"{shown[score.measure]} {score.measure.shown} ({score.items})" for score in scores]
    panel.set_yticks(range(len(scores)), labels, fontsize=9)
    panel.set(ylim=(len(scores) - 0.5, -0.5), xlabel="difference in points, with 95 % interval")
    name_series(panel, named, below=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.tmp.png")
    save_figure(figure, temporary)
    temporary.replace(path)
