"""Colours and markers that tell the series of a figure apart, also in print without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

TEXT, SPEECH, GREY, INK = "#2f6db3", "#dd7a1f", "#9aa0a6", "#33373b"
_COLOURS = (TEXT, SPEECH, "#2a9d74", "#b8457e", "#7a5cc0", "#8a6d3b", "#c0392b", "#3aa6b9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


class Style(NamedTuple):
    """How a series is drawn."""

    colour: str
    marker: str


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style for each of at most 64 names, no two of them equal; the first eight differ in both colour and marker."""
    number = len(_COLOURS)
    assert len(names) <= number**2
    return {
        name: Style(_COLOURS[place % number], _MARKERS[(place + place // number) % number])
        for place, name in enumerate(names)
    }


def draw_interval(panel: Any, x: float, estimate: Any, style: Style, *, size: float = 7) -> None:
    """Draw an estimate at `x`: its value as a marker, its 95 % interval as a line."""
    panel.plot([x, x], [estimate.low, estimate.high], color=style.colour, linewidth=2)
    panel.plot(x, estimate.value, style.marker, color=style.colour, markersize=size)


def name_series(panel: Any, named: dict[str, Style], *, line: str = "", below: bool = False) -> None:
    """Add a legend with the colour and marker of each series, in the panel or below all panels of its figure."""
    for name, style in named.items():
        panel.plot([], [], style.marker + line, color=style.colour, label=name)
    if below:
        panel.figure.legend(*panel.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False)
    else:
        panel.legend(frameon=False, fontsize=9)


def note(figure: Any, text: str) -> None:
    """Write below the panels how to read them, or what they leave out."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=9, color=INK)
