"""Draws figures on speech tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts
from megatron_speech.artifacts.facts.tokenizer_report import DisturbanceFacts
from megatron_speech.reports.plots import new_figure, save_figure
from megatron_speech.reports.styles import INK, SPEECH, TEXT, Style, draw_interval, name_series, note, styles

WRONG, CHANGED = Style(SPEECH, "o"), Style(TEXT, "s")
KINDS = ("gain", "white noise", "babble", "resampling")
HIGHEST = 1.3
"""Upper limit of the error axis for robustness; a recogniser above it only hallucinates."""


def plot_readers(path: Path, rates: Mapping[str, Mapping[str, ErrorRatesFacts]]) -> None:
    """Word error rates by data set and reader, as bars with intervals."""
    figure, (panel,) = new_figure(1, width=3 + 1.6 * len(rates))
    readers = list(dict.fromkeys(reader for by_reader in rates.values() for reader in by_reader))
    for place, (reader, style) in enumerate(styles(readers).items()):
        width = 0.8 / len(readers)
        for index, by_reader in enumerate(rates.values()):
            if (values := by_reader.get(reader)) is not None:
                x = index - 0.4 + (place + 0.5) * width
                panel.bar(x, values.wer, width=0.9 * width, color=style.colour)
                panel.plot([x, x], [values.wer_low, values.wer_high], color=INK, linewidth=1.5)
        panel.bar([], [], color=style.colour, label=reader)
    panel.set(ylabel="word error rate, 95 % interval", ylim=(0, None))
    panel.set_xticks(range(len(rates)), list(rates), fontsize=9)
    panel.legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def plot_robustness(path: Path, rows: Sequence[DisturbanceFacts]) -> None:
    """Word error rates and shares of changed codes over the level of a disturbance, one panel per kind."""
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    figure, panels = new_figure(len(kinds), width=1.5 + 2.9 * len(kinds), sharey=True)
    untouched = next(row for row in rows if row.kind == "none")
    for panel, kind in zip(panels, kinds, strict=True):
        shown = [untouched, *(row for row in rows if row.kind == kind)]
        if kind == "gain":  # untouched clips are those at 0 dB
            shown.sort(key=lambda row: row.level or 0.0)
        for key, style in (("wer", WRONG), ("codes_changed", CHANGED)):
            line = style.marker if kind == "resampling" else f"{style.marker}-"
            panel.plot(range(len(shown)), [getattr(row, key) for row in shown], line, color=style.colour, markersize=5)
            for place, row in enumerate(shown):
                ends = [getattr(row, f"{key}_low"), getattr(row, f"{key}_high")]
                panel.plot([place] * 2, ends, color=style.colour, linewidth=1.5)
        panel.set_xticks(range(len(shown)), [_level(row, kind) for row in shown])
        panel.set(title=kind, xlabel="kHz" if kind == "resampling" else "dB")
    highest = max(getattr(row, f"{key}_high") for row in rows for key in ("wer", "codes_changed"))
    panels[0].set(ylabel="share, 95 % interval", ylim=(0, min(HIGHEST, 1.05 * highest)))
    name_series(panels[0], {"words read wrong": WRONG, "codes changed": CHANGED})
    if highest > HIGHEST:
        note(figure, f"Left out: what lies above {HIGHEST:g}.")
    save_figure(figure, path)


def _level(row: DisturbanceFacts, kind: str) -> str:
    if row.level is None:
        return "0" if kind == "gain" else "none"
    return f"{row.level:+g}" if kind == "gain" else f"{row.level / (1000 if kind == 'resampling' else 1):g}"


def plot_experiments(
    path: Path, names: Sequence[str], rates: Mapping[str, Sequence[Any]], bounds: Mapping[str, float]
) -> None:
    """Word error rates from codes, by row and data set; dashed: without bottleneck, if known."""
    figure, (panel,) = new_figure(1, width=3 + 0.6 * len(names))
    named = styles(list(rates))
    for number, (audio, estimates) in enumerate(rates.items()):
        for place, estimate in enumerate(estimates):
            if estimate is not None:
                draw_interval(panel, place + 0.15 * (number - 1), estimate, named[audio], size=5)
        if audio in bounds:
            panel.axhline(bounds[audio], color=named[audio].colour, linewidth=1, linestyle="--")
    panel.set(ylabel="word error rate, 95 % interval", ylim=(0, None), xlim=(-0.5, len(names) - 0.5))
    panel.set_xticks(range(len(names)), list(names), rotation=40, ha="right", fontsize=9)
    name_series(panel, {f"{audio}, from codes": style for audio, style in named.items()})
    if bounds:
        note(figure, "Dashed: the same speech, read from the audio.")
    save_figure(figure, path)
