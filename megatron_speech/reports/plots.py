"""Draws figures of reports. Of two modalities, text is blue, speech is orange; grey is before training, or theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.checkpoint import TensorErrorFacts
from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.interleaved import SpanLengthsFacts
from megatron_speech.artifacts.facts.training import HeldOutLosses, MetricsRecord
from megatron_speech.reports.styles import GREY, INK, SPEECH, TEXT, Style, draw_interval, name_series, note, styles

COLOURS = {"text": TEXT, "speech": SPEECH}
PAIRS = ("text->text", "speech->text", "text->speech", "speech->speech")
WRITTEN, SPOKEN = Style(TEXT, "o"), Style(SPEECH, "s")
Estimates = Mapping[str, EstimateFacts]


def plot_losses(
    path: Path, lines: Sequence[MetricsRecord], *, resumed_at: Sequence[int], validation: Sequence[HeldOutLosses]
) -> None:
    """Loss over steps, one panel per modality: training and held-out data of each source, and all of training."""
    figure, panels = new_figure(2, width=10.5)
    trained, scored = ({source for line in some for source in line.losses} for some in (lines, validation))
    named = styles(sorted(trained | scored))
    for panel, modality in zip(panels, COLOURS, strict=True):
        shown = {}
        for source, style in named.items():
            steps, values = _losses_of(lines, source, modality)
            held_out = _losses_of(validation, source, modality)
            if steps or held_out[0]:
                shown[source] = style
                panel.plot(steps, _smooth(values), color=style.colour, linewidth=1.4)
                panel.plot(*held_out, style.marker, color=style.colour, markersize=5)
        found = [(line.step, line.loss_by_modality[modality]) for line in lines if modality in line.loss_by_modality]
        steps, values = [step for step, _ in found], [value for _, value in found]
        panel.plot(steps, values, color=INK, alpha=0.25, linewidth=1)
        panel.plot(steps, _smooth(values), color=INK, linewidth=2.4)
        _mark_resumed(panel, resumed_at)
        panel.set(
            title=f"{modality} targets", xlabel="step", ylabel="loss, nats per token" if panel is panels[0] else ""
        )
        name_series(panel, {**shown, f"all {modality}, training": Style(INK, "")}, line="-")
    note(figure, "Lines: training, running mean (faint: single steps). Marks: held-out rows.")
    save_figure(figure, path)


def _mark_resumed(panel: Any, resumed_at: Sequence[int]) -> None:
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


def plot_spans(path: Path, lengths: SpanLengthsFacts, *, left_out: int) -> None:
    """Histogram of the lengths of drawn spans, with the distribution they were drawn from.

    `left_out` is the number of spans that are not in `lengths`, since they may be cut.
    """
    figure, (panel,) = new_figure(1)
    total = sum(lengths.spans)
    shares = np.asarray(lengths.spans) / max(1, total)
    panel.bar(lengths.words, shares, width=0.8, color=SPEECH, alpha=0.75, label=f"{total:,} spans drawn")
    label = f"Poisson({lengths.mean:g}), without 0"
    panel.plot(lengths.words, lengths.poisson, "o-", color=INK, markersize=3.5, linewidth=1.2, label=label)
    panel.set(xlabel="length of a span", ylabel="share of spans")
    panel.legend(frameon=False, fontsize=9)
    if left_out:
        note(figure, f"Left out: {left_out:,} spans of documents in which spans may be cut.")
    save_figure(figure, path)


def plot_accuracy(path: Path, tasks: Mapping[str, tuple[Estimates, Estimates]], *, chance: float) -> None:
    """Accuracy with intervals in the four modality pairs, one panel per task.

    Args:
        tasks: {task: (before training, after training)}, each {modality pair: estimate}.
        chance: accuracy of guessing.
    """
    figure, panels = new_figure(len(tasks), width=5.25 * len(tasks), sharey=True)
    for panel, (task, (before, after)) in zip(panels, tasks.items(), strict=True):
        for x, pair in enumerate(PAIRS):
            style = WRITTEN if pair.endswith("->text") else SPOKEN
            _before_and_after(panel, x, before.get(pair), after.get(pair), style)
        _finish(panel, [pair.replace("->", "\n-> ") for pair in PAIRS], chance=chance, title=task)
    _name_before_and_after(panels[0], "ending")
    panels[0].set_ylabel("accuracy, 95 % interval")
    save_figure(figure, path)


def plot_geo_qa(path: Path, before: Mapping[str, Estimates], after: Mapping[str, Estimates], *, chance: float) -> None:
    """Accuracy of GeoQA by modality of the question, which gives colour and marker, and by group."""
    places = [(pair, group) for group in ("spoken", "written_only") for pair in ("text->text", "speech->text")]
    names = {"spoken": "capital heard\nin training", "written_only": "capital only\never written"}
    figure, (panel,) = new_figure(1, width=6.5)
    for x, (pair, group) in enumerate(places):
        style = WRITTEN if pair.startswith("text->") else SPOKEN
        old, new = (results.get(pair, {}).get(group) for results in (before, after))
        _before_and_after(panel, x, old, new, style)
    labels = [f"{'written' if pair == 'text->text' else 'spoken'} question\n{names[group]}" for pair, group in places]
    _finish(panel, labels, chance=chance, title="GeoQA: which of four capitals?")
    _name_before_and_after(panel, "question")
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
    named = styles([name for name in differences if name != baseline])
    for panel, modality in zip(panels, COLOURS, strict=False):
        panel.axhline(0, color=INK, linewidth=1)
        for name, style in named.items():
            steps = [step for step, _ in differences[name][modality]]
            values = [difference for _, difference in differences[name][modality]]
            marks = max(1, len(steps) // 8)
            panel.plot(
                steps,
                _smooth(values),
                f"{style.marker}-",
                color=style.colour,
                linewidth=1.5,
                markersize=4,
                markevery=marks,
            )
        panel.set(title=f"{modality} targets", xlabel="step", ylabel=f"loss minus {baseline}'s, nats")
        name_series(panel, {**named, baseline: Style(INK, "")}, line="-")
    for modality, style in (("text", WRITTEN), ("speech", SPOKEN)):
        values = [by_part[f"{modality} rows"].relative_error for by_part in errors.values()]
        panels[2].plot(range(len(values)), values, style.marker, color=style.colour, label=f"{modality} rows")
    panels[2].set(title="error of gradients", ylabel="share of float32's gradient", ylim=(0, None))
    panels[2].set_xticks(range(len(errors)), list(errors), fontsize=9)
    panels[2].legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def _before_and_after(
    panel: Any, x: int, before: EstimateFacts | None, after: EstimateFacts | None, style: Style
) -> None:
    """Both estimates side by side; the one before training is grey."""
    for estimate, at, drawn in ((before, x - 0.12, style._replace(colour=GREY)), (after, x + 0.12, style)):
        if estimate is not None:
            draw_interval(panel, at, estimate, drawn)


def _finish(panel: Any, labels: Sequence[str], *, chance: float, title: str) -> None:
    panel.axhline(chance, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    panel.annotate("chance", (-0.45, chance), xytext=(0, 3), textcoords="offset points", color=INK, fontsize=9)
    panel.set(ylim=(0, 1.02), xlim=(-0.5, len(labels) - 0.5), title=title)
    panel.set_xticks(range(len(labels)), labels, fontsize=9)


def _name_before_and_after(panel: Any, what: str) -> None:
    """Colour and marker tell whether `what`, such as the question, is written or spoken; grey is before training."""
    named = {}
    for form, style in (("written", WRITTEN), ("spoken", SPOKEN)):
        named[f"{form} {what}, before training"] = style._replace(colour=GREY)
        named[f"{form} {what}, after"] = style
    name_series(panel, named, below=True)


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
