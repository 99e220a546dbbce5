"""Draws figures of reports. Text is blue, speech is orange; grey is before training, or theory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.checkpoint import TensorErrorFacts
from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.interleaved import SpanLengthsFacts
from megatron_speech.artifacts.facts.training import HeldOutLosses, MetricsRecord

TEXT, SPEECH, GREY, INK = "#2f6db3", "#dd7a1f", "#9aa0a6", "#33373b"
COLOURS = {"text": TEXT, "speech": SPEECH}
PAIRS = ("text->text", "speech->text", "text->speech", "speech->speech")
DASHES = ("-", "--", ":", "-.")
Estimates = Mapping[str, EstimateFacts]


def plot_losses(
    path: Path, lines: Sequence[MetricsRecord], *, resumed_at: Sequence[int], validation: Sequence[HeldOutLosses]
) -> None:
    """Training loss over steps, one panel per modality: all sources together, and each one; dots are held-out data."""
    figure, panels = new_figure(2, width=10.5)
    for panel, modality in zip(panels, COLOURS, strict=True):
        colour = COLOURS[modality]
        sources = sorted({source for line in lines for source, by in line.losses.items() if modality in by})
        for source, dash in zip(sources, DASHES, strict=False):
            steps, values = _losses_of(lines, source, modality)
            panel.plot(steps, _smooth(values), dash, color=colour, alpha=0.55, linewidth=1.2, label=source)
            panel.plot(*_losses_of(validation, source, modality), "o", color=colour, markersize=4)
        found = [(line.step, line.loss_by_modality[modality]) for line in lines if modality in line.loss_by_modality]
        steps, values = [step for step, _ in found], [value for _, value in found]
        panel.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
        panel.plot(steps, _smooth(values), color=colour, linewidth=2.4, label=f"all {modality}")
        for step in resumed_at:
            panel.axvline(step, color=INK, linewidth=1, linestyle=(0, (2, 3)))
            panel.annotate(
                "resumed",
                (step, 0.98),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                va="top",
                color=INK,
                fontsize=9,
            )
        panel.set(
            title=f"{modality} targets", xlabel="step", ylabel="loss, nats per token" if panel is panels[0] else ""
        )
        panel.legend(frameon=False, fontsize=9, loc="best")
    save_figure(figure, path)


def plot_codebook(path: Path, counts: Sequence[int]) -> None:
    """Counts of the codes in use, most frequent first, with the count under even use."""
    figure, (panel,) = new_figure(1)
    ordered = np.sort(np.asarray(counts))[::-1]
    used = ordered[ordered > 0]
    panel.fill_between(np.arange(1, len(used) + 1), used, 0.5, color=SPEECH, alpha=0.25, linewidth=0)
    panel.plot(np.arange(1, len(used) + 1), used, color=SPEECH, linewidth=2)
    panel.axhline(ordered.mean(), color=GREY, linestyle="--", linewidth=1.2)
    panel.annotate(
        "even use",
        (len(ordered), ordered.mean()),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        color=INK,
        fontsize=9,
    )
    panel.set(
        yscale="log",
        xlim=(1, len(ordered)),
        ylim=(0.5, None),
        xlabel="code, most frequent first",
        ylabel="times used",
        title=f"{len(used):,} of {len(ordered):,} codes in use",
    )
    save_figure(figure, path)


def plot_spans(path: Path, lengths: SpanLengthsFacts) -> None:
    """Histogram of the lengths of drawn spans, with the distribution they were drawn from."""
    figure, (panel,) = new_figure(1)
    total = sum(lengths.spans)
    shares = np.asarray(lengths.spans) / max(1, total)
    panel.bar(lengths.words, shares, width=0.8, color=SPEECH, alpha=0.75, label=f"{total:,} spans drawn")
    label = f"Poisson({lengths.mean:g}), without 0"
    panel.plot(lengths.words, lengths.poisson, "o-", color=INK, markersize=3.5, linewidth=1.2, label=label)
    panel.set(xlabel="length of a span", ylabel="share of spans")
    panel.legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def plot_accuracy(path: Path, tasks: Mapping[str, tuple[Estimates, Estimates]], *, chance: float) -> None:
    """Accuracy with intervals in the four modality pairs, one panel per task.

    Args:
        tasks: {task: (before training, after training)}, each {modality pair: estimate}.
        chance: accuracy of guessing.
    """
    figure, panels = new_figure(len(tasks), width=5.25 * len(tasks), sharey=True)
    for panel, (task, (before, after)) in zip(panels, tasks.items(), strict=True):
        _points(panel, before, PAIRS, shift=-0.12, colour=lambda pair: GREY)
        _points(panel, after, PAIRS, shift=0.12, colour=lambda pair: COLOURS[pair.split("->")[1]])
        _finish(panel, [pair.replace("->", "\n-> ") for pair in PAIRS], chance=chance, title=task)
    panels[0].set_ylabel("accuracy, 95 % interval")
    save_figure(figure, path)


def plot_geo_qa(path: Path, before: Mapping[str, Estimates], after: Mapping[str, Estimates], *, chance: float) -> None:
    """Accuracy of GeoQA by modality of the question, which gives the colour, and by group of countries."""
    places = [(pair, group) for group in ("spoken", "written_only") for pair in ("text->text", "speech->text")]
    names = {"spoken": "capital heard\nin training", "written_only": "capital only\never written"}
    figure, (panel,) = new_figure(1, width=6.5)
    for results, shift, solid in ((before, -0.12, False), (after, 0.12, True)):
        estimates = {
            f"{pair} {group}": results[pair][group] for pair, group in places if group in results.get(pair, {})
        }

        def colour(place: str, *, solid: bool = solid) -> str:
            return COLOURS[place.split("->")[0]] if solid else GREY

        _points(panel, estimates, [f"{pair} {group}" for pair, group in places], shift=shift, colour=colour)
    labels = [f"{'written' if pair == 'text->text' else 'spoken'} question\n{names[group]}" for pair, group in places]
    _finish(panel, labels, chance=chance, title="GeoQA: which of four capitals?")
    panel.set_ylabel("accuracy, 95 % interval")
    save_figure(figure, path)


def plot_precision(
    path: Path,
    differences: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]],
    *,
    baseline: str,
    errors: Mapping[str, Mapping[str, TensorErrorFacts]],
) -> None:
    """Loss minus the baseline's over steps, by modality; relative gradient errors of text and speech rows."""
    figure, panels = new_figure(3, width=13)
    others = [name for name in differences if name != baseline]
    for panel, (modality, colour) in zip(panels, COLOURS.items(), strict=False):
        panel.axhline(0, color=INK, linewidth=1, label=baseline)
        for name, dash in zip(others, itertools.cycle(DASHES), strict=False):
            steps = [step for step, _ in differences[name][modality]]
            values = [difference for _, difference in differences[name][modality]]
            panel.plot(steps, _smooth(values), dash, color=colour, linewidth=1.5, label=name)
        panel.set(title=f"{modality} targets", xlabel="step", ylabel=f"loss minus {baseline}'s, nats")
        panel.legend(frameon=False, fontsize=9)
    for modality, colour in COLOURS.items():
        values = [by_part[f"{modality} rows"].relative_error for by_part in errors.values()]
        panels[2].plot(range(len(values)), values, "o", color=colour, markersize=7, label=f"{modality} rows")
    panels[2].set(title="error of gradients", ylabel="share of float32's gradient", ylim=(0, None))
    panels[2].set_xticks(range(len(errors)), list(errors), fontsize=9)
    panels[2].legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def _points(
    panel: Any, estimates: Estimates, places: Sequence[str], *, shift: float, colour: Callable[[str], str]
) -> None:
    for x, place in enumerate(places):
        if (estimate := estimates.get(place)) is not None:
            panel.plot([x + shift] * 2, [estimate.low, estimate.high], color=colour(place), linewidth=2)
            panel.plot(x + shift, estimate.value, "o", color=colour(place), markersize=7)


def _finish(panel: Any, labels: Sequence[str], *, chance: float, title: str) -> None:
    panel.axhline(chance, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    panel.annotate("chance", (-0.45, chance), xytext=(0, 3), textcoords="offset points", color=INK, fontsize=9)
    panel.set(ylim=(0, 1.02), xlim=(-0.5, len(labels) - 0.5), title=title)
    panel.set_xticks(range(len(labels)), labels, fontsize=9)
    panel.plot([], [], "o", color=GREY, label="before training")
    panel.plot([], [], "o", color=INK, label="after (in colour)")
    panel.legend(frameon=False, fontsize=9, loc="lower left")


def new_figure(panels: int, *, width: float = 6.0, sharey: bool = False) -> tuple[Any, Any]:
    """A figure with `panels` panels side by side, in the style of all reports: (figure, panels).

    Raises ValueError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("plots need matplotlib; install the extra: pip install megatron-speech[eval]") from error
    figure = Figure(figsize=(width, 3.6), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=sharey)[0]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(GREY)
        panel.tick_params(colors=INK)
        panel.grid(axis="y", color="#e8eaed", linewidth=0.8)
        panel.set_axisbelow(True)
    return figure, axes


def save_figure(figure: Any, path: Path) -> None:
    """Save a figure as PNG without version metadata, so that the same figure gives the same bytes."""
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _losses_of(
    lines: Sequence[MetricsRecord] | Sequence[HeldOutLosses], source: str, modality: str
) -> tuple[list[int], list[float]]:
    """Steps and losses of one source and modality, from the lines that have them."""
    found = [(line.step, line.losses[source][modality]) for line in lines if modality in line.losses.get(source, {})]
    return [step for step, _ in found], [loss for _, loss in found]


def _smooth(values: Sequence[float]) -> np.ndarray:
    """Centred running mean over a twentieth of `values`."""
    reach = max(0, len(values) // 40)
    return np.array([np.mean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))])
