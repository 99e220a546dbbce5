"""In every figure each series is told apart, the legend has its colour and marker, and what is left out is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.colors
import pytest

from megatron_speech.artifacts.facts.checkpoint import TensorErrorFacts
from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.interleaved import SpanLengthsFacts
from megatron_speech.artifacts.facts.training import HeldOutLosses, MetricsRecord
from megatron_speech.reports import plots, tokenizer_plots
from megatron_speech.reports.styles import GREY, INK, styles

SOURCES = ("text", "interleaved", "recognition", "synthesis", "speech", "dialogue")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that a test draws, instead of their files."""
    drawn: list[Any] = []
    for module in (plots, tokenizer_plots):
        monkeypatch.setattr(module, "save_figure", lambda figure, path: drawn.append(figure))
    return drawn


def legend(panel: Any) -> dict[str, tuple[str, str]]:
    """Colour and marker by label."""
    handles, labels = panel.get_legend_handles_labels()
    named = {label: (handle.get_color(), handle.get_marker()) for handle, label in zip(handles, labels, strict=True)}
    assert len(named) == len(labels), f"a label stands twice: {labels}"
    return named


def drawn_styles(panel: Any) -> set[tuple[str, str]]:
    """Colour and marker of every line with markers, legend handles left out."""
    lines = [
        line for line in panel.get_lines() if len(line.get_xdata()) and line.get_marker() not in ("", "None", None)
    ]
    return {(line.get_color(), line.get_marker()) for line in lines}


def estimate(value: float) -> EstimateFacts:
    return EstimateFacts(value=value, low=value - 0.1, high=value + 0.1, items=8)


def record(step: int) -> MetricsRecord:
    losses = {source: {"text": 3.0 + number, "speech": 5.0 + number} for number, source in enumerate(SOURCES)}
    return MetricsRecord(
        step=step,
        consumed_samples=step,
        tokens={},
        loss=1.0,
        losses=losses,
        loss_by_task={},
        loss_by_modality={"text": 3.0, "speech": 5.0},
        lr=1.0,
        grad_norm=1.0,
        tokens_per_s=1.0,
    )


def test_styles_differ_in_colour_and_marker() -> None:
    few = styles(SOURCES)
    assert len({style.colour for style in few.values()}) == len({style.marker for style in few.values()}) == len(few)
    assert len(set(styles([str(number) for number in range(64)]).values())) == 64
    assert all(matplotlib.colors.is_color_like(style.colour) for style in few.values())


def test_every_source_of_the_losses_is_drawn_and_named(figures: list[Any]) -> None:
    validation = [HeldOutLosses(step=2, losses={source: {"text": 3.0, "speech": 5.0} for source in SOURCES})]
    plots.plot_losses(Path("x.png"), [record(1), record(2)], resumed_at=[1], validation=validation)
    for panel, modality in zip(figures[0].axes, ("text", "speech"), strict=True):
        named = legend(panel)
        total = named.pop(f"all {modality}, training")
        assert set(named) == set(SOURCES) and total[0] == INK
        assert len(set(named.values())) == len({colour for colour, _ in named.values()}) == len(SOURCES)
        assert drawn_styles(panel) == set(named.values())  # held-out marks
        training = {line.get_color() for line in panel.get_lines() if len(line.get_xdata()) == 2}
        assert {colour for colour, _ in named.values()} <= training
    assert "held-out" in figures[0].get_supxlabel()


def test_the_legend_of_accuracies_has_their_colours(figures: list[Any]) -> None:
    results = {pair: estimate(0.5) for pair in plots.PAIRS}
    plots.plot_accuracy(Path("x.png"), {"cloze": (results, results)}, chance=0.5)
    pairs = {pair: {"spoken": estimate(0.5), "written_only": estimate(0.4)} for pair in ("text->text", "speech->text")}
    plots.plot_geo_qa(Path("x.png"), pairs, pairs, chance=0.25)
    for figure, of in zip(figures, ("ending", "question"), strict=True):
        named = legend(figure.axes[0])
        times = ("before training", "after")
        assert set(named) == {f"{form} {of}, {when}" for form in ("written", "spoken") for when in times}
        assert drawn_styles(figure.axes[0]) == set(named.values()) and len(set(named.values())) == 4
        assert all((colour == GREY) == name.endswith("before training") for name, (colour, _) in named.items())


def test_number_formats_are_told_apart(figures: list[Any]) -> None:
    names = ("bfloat16", "float32", "delayed", "tensorwise", "blockwise", "another")
    differences = {name: {modality: [(1, 0.1), (2, 0.2)] for modality in ("text", "speech")} for name in names}
    errors = {
        name: {f"{part} rows": TensorErrorFacts(relative_error=0.1, cosine=1.0) for part in ("text", "speech")}
        for name in names
    }
    plots.plot_precision(Path("x.png"), differences, baseline="bfloat16", errors=errors)
    for panel in figures[0].axes[:2]:
        named = legend(panel)
        assert list(named) == [*names[1:], "bfloat16"] and len({colour for colour, _ in named.values()}) == len(names)
        assert drawn_styles(panel) == {named[name] for name in names[1:]}
    assert drawn_styles(figures[0].axes[2]) == set(legend(figures[0].axes[2]).values())


@pytest.mark.parametrize("left_out", [0, 3518])
def test_the_plot_of_spans_says_what_it_leaves_out(figures: list[Any], left_out: int) -> None:
    lengths = SpanLengthsFacts(words=(1, 2), spans=(3, 4), poisson=(0.4, 0.6), mean=10.0)
    plots.plot_spans(Path("x.png"), lengths, left_out=left_out)
    assert ("3,518 spans" in (figures[0].get_supxlabel() or "")) == bool(left_out)


def test_every_data_set_of_the_tokenizers_is_drawn_and_named(figures: list[Any]) -> None:
    rates = {name: [estimate(0.2), None] for name in ("seen", "unseen", "human", "noisy", "children")}
    tokenizer_plots.plot_experiments(Path("x.png"), ["base", "rate_25"], rates, {"seen": 0.1})
    named = legend(figures[0].axes[0])
    assert list(named) == [f"{name}, from codes" for name in rates] and len(set(named.values())) == 5
    assert drawn_styles(figures[0].axes[0]) == set(named.values())
    assert "Dashed" in figures[0].get_supxlabel()
