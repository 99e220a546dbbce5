"""Draws the accuracy of questions over interleaved tokens, and along the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from megatron_speech.reports.claim.arms import CHANCE, Arm, Cell
from megatron_speech.reports.plots import new_figure, save_figure
from megatron_speech.reports.styles import GREY, draw_interval, name_series, styles


def plot_amounts(path: Path, arms: Sequence[Arm], cells: Sequence[Cell], groups: Mapping[str, str]) -> None:
    """Accuracy of spoken questions over interleaved tokens, one line per group of questions."""
    figure, (panel,) = new_figure(1, width=7)
    asked = [cell for cell in cells if all(cell in arm.cells for arm in arms)]
    ranked = sorted(arms, key=lambda arm: arm.interleaved_tokens)
    named = styles([groups[group] for _, group in asked])
    for (pair, group), style in zip(asked, named.values(), strict=True):
        values = [arm.accuracy((pair, group)) for arm in ranked]
        panel.plot([arm.interleaved_tokens for arm in ranked], [each.value for each in values], color=style.colour)
        for arm, each in zip(ranked, values, strict=True):
            draw_interval(panel, arm.interleaved_tokens, each, style)
    _finish(panel)
    panel.set(xlabel="interleaved tokens", ylabel="spoken questions right, 95 % interval")
    name_series(panel, named, line="-", below=True)
    save_figure(figure, path)


def plot_along(path: Path, arms: Sequence[Arm], groups: Mapping[str, str]) -> None:
    """Accuracy over tokens so far: written questions on the left, spoken ones right; a band spans the seeds."""
    shown = {group: name for group, name in groups.items() if not group.startswith("towns")}
    figure, panels = new_figure(2 * len(shown), width=4 * 2 * len(shown), sharey=True)
    named = styles([arm.name for arm in arms])
    places = [(pair, group) for pair in ("text->text", "speech->text") for group in shown]
    for panel, (pair, group) in zip(panels, places, strict=True):
        for arm, style in zip(arms, named.values(), strict=True):
            found = arm.along((pair, group))
            tokens = list(found)
            panel.plot(tokens, [fmean(values) for values in found.values()], color=style.colour)
            lows, highs = [min(values) for values in found.values()], [max(values) for values in found.values()]
            panel.fill_between(tokens, lows, highs, color=style.colour, alpha=0.2, linewidth=0)
        _finish(panel)
        panel.set(title=f"{'written' if pair == 'text->text' else 'spoken'}: {shown[group]}", xlabel="tokens so far")
    panels[0].set_ylabel("questions right")
    name_series(panels[0], named, line="-", below=True)
    save_figure(figure, path)


def _finish(panel: Any) -> None:
    panel.axhline(CHANCE, color=GREY, linewidth=1, linestyle="--", label="chance")
    panel.set(ylim=(0, 1.02))
