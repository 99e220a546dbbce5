"""Draws accuracy or errors over a training: a curve per modality pair, with 95 % intervals, chance and topline.

It reads what `evaluate` wrote for a list of models. All scores of a task must be by one protocol and of the same items.
The topline of a pair with speech is the same model on the same items in writing, so it is a curve of its own. Another
evaluation, such as a cascade, is drawn as a line. Models of which nobody knows what they were trained on, such as
exports without their checkpoint, stand in the table alone.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.manifest import MANIFEST
from megatron_speech.config.inspection.evaluation_curves import EvaluationCurvesConfig
from megatron_speech.evaluation.comparison.evaluations import (
    Amount,
    Evaluation,
    Measure,
    read_evaluation,
    require_equal_protocols,
    require_same_items,
)
from megatron_speech.evaluation.comparison.references import HEARD, WRITTEN
from megatron_speech.evaluation.comparison.table import percent
from megatron_speech.metrics.intervals import mean_interval, ratio_interval
from megatron_speech.reports.facts import count, prose, table
from megatron_speech.reports.plots import new_figure, save_figure
from megatron_speech.reports.styles import INK, Style, draw_interval, name_series, styles

logger = logging.getLogger(__name__)

REPORT = "report.md"
_STEP = re.compile(r"-step_\d+$")


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a model scores on one task of items.jsonl, by modality pair."""

    model: str
    """Name of its folder."""
    tokens: int | None
    """Tokens that it was trained on; None if unknown."""
    scores: Mapping[str, EstimateFacts]

    @property
    def series(self) -> str:
        """The run that it is a checkpoint of."""
        return _STEP.sub("", self.model)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """All models on one task."""

    task: str
    """Data set, with the error rate if it is one."""
    rate: str
    """wer or cer; empty for an accuracy."""
    chance: float | None
    points: Sequence[Point]
    topline: EstimateFacts | None
    """What another model scores in writing."""

    @property
    def figure(self) -> str:
        """Name of its PNG file."""
        return f"{re.sub(r'[^A-Za-z0-9]+', '_', self.task)}.png"


def evaluation_curves(config: EvaluationCurvesConfig) -> None:
    """Write report.md and a PNG file for each task into `config.folder`.

    Raises FileNotFoundError if it holds no evaluation, and ValueError for other protocols or items, or without
    matplotlib.
    """
    curves = read_curves(config)
    for curve in curves:
        draw(curve, config.folder / curve.figure, topline=_short(config.topline))
    write_atomic(config.folder / REPORT, "\n".join(_page(curves, _short(config.topline))) + "\n")
    logger.info("%s: %d tasks of %d models", config.folder / REPORT, len(curves), _models(curves))


def read_curves(config: EvaluationCurvesConfig) -> list[Curve]:
    """The curves of all tasks with accuracies or error rates, in the order of their names."""
    folders = sorted(path.parent for path in config.folder.glob(f"*/*/{MANIFEST}"))
    if not folders:
        raise FileNotFoundError(
            f"folder={config.folder} holds no evaluation of a list of models; run megatron-speech evaluate with models"
        )
    by_task: defaultdict[str, list[tuple[Evaluation, int | None]]] = defaultdict(list)
    for folder in folders:
        trained = read_json(folder / "evaluation.json").get("trained")
        by_task[folder.name].append((read_evaluation(folder), sum(trained["tokens"].values()) if trained else None))
    curves = [curve for found in by_task.values() for curve in _curves(found, config)]
    return sorted(curves, key=lambda curve: curve.task)


def _curves(found: Sequence[tuple[Evaluation, int | None]], config: EvaluationCurvesConfig) -> Iterator[Curve]:
    """Curves of the data sets of one evaluation task."""
    first = found[0][0]
    for other, _ in found[1:]:
        require_equal_protocols(first, other, accept=config.accept)
        for measure in first.amounts.keys() & other.amounts.keys():
            require_same_items(measure, first, other)
    above = None
    if config.topline is not None:
        above = read_evaluation(config.topline)
        require_equal_protocols(first, above, accept=[*config.accept, *HEARD])
    for name, task, rate in dict.fromkeys((of.evaluation_task, of.task, of.rate) for of in first.amounts):
        points = [
            Point(
                model=evaluation.folder.parent.name,
                tokens=tokens,
                scores={
                    of.pair: _estimate(of, own, config)
                    for of, own in evaluation.amounts.items()
                    if (of.evaluation_task, of.task, of.rate) == (name, task, rate)
                },
            )
            for evaluation, tokens in found
        ]
        written = Measure(name, task, WRITTEN, rate)
        yield Curve(
            task=f"{task} {rate}".strip(),
            rate=rate,
            chance=None if rate else first.protocols[name].get("chance", {}).get(task),
            points=sorted(points, key=lambda point: (point.series, point.tokens or 0, point.model)),
            topline=_estimate(written, above.amounts[written], config) if above and written in above.amounts else None,
        )


def _estimate(measure: Measure, amounts: Mapping[str, Amount], config: EvaluationCurvesConfig) -> EstimateFacts:
    values, sizes = zip(*(amounts[item] for item in sorted(amounts)), strict=True)
    options = {"seed": config.seed, "resamples": config.resamples}
    estimate = ratio_interval(values, sizes, **options) if measure.rate else mean_interval(values, **options)
    return estimate.rounded()


def draw(curve: Curve, path: Path, *, topline: str) -> None:
    """Save the figure of a task as PNG; `topline` names its line. Raises ValueError if matplotlib is not installed."""
    figure, (panel,) = new_figure(1, width=7.0)
    placed = [point for point in curve.points if point.tokens is not None]
    runs = list(dict.fromkeys(point.series for point in placed))
    pairs = list(dict.fromkeys(pair for point in placed for pair in point.scores))
    series = [(run, pair) for run in runs for pair in pairs]
    named = styles([_label(run, pair, runs) for run, pair in series])
    for (run, pair), style in zip(series, named.values(), strict=True):
        _draw_series(panel, [point for point in placed if point.series == run], pair, style)
    lines = {"chance": curve.chance, f"topline: {topline}": curve.topline and curve.topline.value}
    for (name, value), dashes in zip(lines.items(), ((2, 3), (6, 2)), strict=True):
        if value is not None:
            panel.axhline(value, color=INK, linewidth=1, linestyle=(0, dashes), label=name)
    what, most = ("errors", None) if curve.rate else ("accuracy", 1.02)
    panel.set(title=curve.task, xlabel="trained tokens", ylabel=f"{what}, 95 % interval", ylim=(0, most))
    panel.xaxis.set_major_formatter(_tokens)
    name_series(panel, named, line="-", below=True)
    temporary = path.with_name(f"{path.stem}.tmp.png")
    save_figure(figure, temporary)
    temporary.replace(path)


def _draw_series(panel: Any, points: Sequence[Point], pair: str, style: Style) -> None:
    shown = [(point.tokens, point.scores[pair]) for point in points if pair in point.scores]
    panel.plot([tokens for tokens, _ in shown], [each.value for _, each in shown], color=style.colour, linewidth=1.4)
    for tokens, estimate in shown:
        draw_interval(panel, tokens or 0, estimate, style, size=5)


def _label(run: str, pair: str, runs: Sequence[str]) -> str:
    name = f"{run} {pair}" if len(runs) > 1 else pair
    return f"{name}, in writing: topline of the others" if pair == WRITTEN else name


def _tokens(value: float, _: int) -> str:
    """A number of tokens in few characters."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _page(curves: Sequence[Curve], topline: str) -> Iterator[str]:
    yield from ("# Accuracy over training", "")
    yield from prose("""Every model answered the same items by the same protocol. Scores are percent, with 95 %
    intervals over items. Tokens are the targets that a model was trained on; a dash stands where nobody knows them.""")
    for curve in curves:
        pairs = list(dict.fromkeys(pair for point in curve.points for pair in point.scores))
        rows = [
            [
                point.model,
                "-" if point.tokens is None else count(point.tokens),
                *(percent(point.scores[pair]) if pair in point.scores else "-" for pair in pairs),
            ]
            for point in curve.points
        ]
        if curve.chance is not None:
            rows.append(["chance", "", *(f"{100 * curve.chance:.1f}" for _ in pairs)])
        if curve.topline is not None:
            rows.append([f"topline: {topline}, in writing", "", *(percent(curve.topline) for _ in pairs)])
        yield from (f"## {curve.task}", "")
        yield from table(["model", "tokens", *(pair or "all" for pair in pairs)], rows)
        if any(point.tokens is not None for point in curve.points):
            yield from (f"![Accuracy of {curve.task} over trained tokens]({curve.figure})", "")


def _short(topline: Path | None) -> str:
    """The last two parts of a path, such as a list's model and task."""
    return "/".join(topline.parts[-2:]) if topline else ""


def _models(curves: Sequence[Curve]) -> int:
    return len({point.model for curve in curves for point in curve.points})
