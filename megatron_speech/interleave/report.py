"""Writes the report on interleaved data: counts, what was left out and why, noise; as report.md with plots."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.interleaved import InterleavedFacts, NoiseFacts, NoisePartFacts
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.interleave.noise import length_labels
from megatron_speech.reports import plots
from megatron_speech.reports.facts import count, decimal, interval, percent, prose, table
from megatron_speech.reports.styles import GREY, INK, SPEECH, Style, draw_interval, note

NONE = "-"
FAULTS = ("runaway", "too_short", "repeats", "unspeakable")


def require_libraries(config: BuildInterleavedConfig) -> None:
    """Raise ValueError if a package for the report is not installed, before hours of synthesis."""
    for name in ("matplotlib", *(["jiwer"] if config.noise else [])):
        if find_spec(name) is None:
            raise ValueError(f"the report needs {name}; pip install 'megatron-speech[eval]'")


def write_report(
    folder: Path, facts: InterleavedFacts, *, rates: Sequence[float], config: BuildInterleavedConfig
) -> None:
    """Write report.md, spans.png and, if noise was measured, noise.png; `rates` are the shards' word error rates."""
    lines = ["# Interleaved data", "", *_made(facts, config), *_left_out(facts)]
    if facts.spans:
        plots.plot_spans(folder / "spans.png", facts.span_lengths, left_out=facts.spans_cut_or_short)
        lines += ["![Span lengths beside their distribution](spans.png)", ""]
    if facts.noise and facts.noise.wer:
        max_wer = config.noise.max_wer if config.noise else None
        plot_noise(folder / "noise.png", facts.noise, rates=rates, max_wer=max_wer)
        lines += _noise(facts, facts.noise, rates)
    (folder / "report.md").write_text("\n".join(lines))


def in_words(facts: InterleavedFacts, *, unit: str) -> str:
    """Summarise the facts in one line."""
    every = facts.words + facts.words_not_speakable
    said = [f"{facts.words:,} of {every:,} {unit} can be read aloud"]
    if facts.ratio_spoken is not None:
        said.append(f"{facts.ratio_spoken:.1%} of these became speech")
    if facts.spans_failed:
        said.append(f"{facts.spans_failed:,} of {facts.spans:,} spans failed")
    if facts.noise and facts.noise.wer:
        said.append(f"word error rate of synthetic spans {facts.noise.wer.value:.1%}")
    return ", ".join(said)


def _made(facts: InterleavedFacts, config: BuildInterleavedConfig) -> list[str]:
    unit = config.spans.unit
    corpora = [
        [
            name,
            *(count(getattr(corpus, key)) for key in ("source_documents", "documents", "text_tokens", "speech_tokens")),
        ]
        for name, corpus in facts.corpora.items()
    ]
    return [
        *table(["corpus", "documents read", "interleaved", "text and boundary tokens", "speech tokens"], corpora),
        *table(
            ["quantity", "value"],
            [
                [f"speakable {unit}", count(facts.words)],
                [f"share of them drawn, where {config.spans.ratio:g} is asked", _or(facts.ratio_drawn, percent, 2)],
                ["share of them that became speech", _or(facts.ratio_spoken, percent, 2)],
                ["spans", count(facts.spans)],
                ["spans whose synthesis failed, left as text", count(facts.spans_failed)],
                ["speech tokens per replaced text token", _or(facts.speech_tokens_per_replaced_text_id, decimal)],
                *([f"{name.replace('_', ' ')} in quarantine", count(n)] for name, n in vars(facts.quarantined).items()),
            ],
        ),
        *_quarantine(facts),
    ]


def _quarantine(facts: InterleavedFacts) -> list[str]:
    if not facts.quarantined.shards:
        return []
    return prose("""Counts of documents, tokens and spans are of all shards, those in quarantine too, which are not
    among the documents of this folder.""")


def _left_out(facts: InterleavedFacts) -> list[str]:
    rows = [["units that cannot be spoken: " + reason, count(n)] for reason, n in facts.words_left_out.items()]
    for name, corpus in facts.corpora.items():
        rows += [[f"lines of {name} that are no document: {why}", count(n)] for why, n in corpus.dropped.items()]
    rows += [[f"samples of speech refused: {why}", count(facts.synthesis.get(why, 0))] for why in FAULTS]
    rows.append(["spans too long for the recogniser, not in the noise", count(facts.noise_spans_too_long)])
    rows.append(["documents whose corpus keeps them from being spoken", count(facts.documents_not_speakable)])
    rows.append(["documents whose id repeats (kept)", count(facts.repeated_ids)])
    return ["## Left out", "", *table(["what", "count"], rows)]


def _noise(facts: InterleavedFacts, noise: NoiseFacts, rates: Sequence[float]) -> list[str]:
    assert noise.wer is not None and noise.cer is not None, "nothing was read back"
    # A row for all spans, each class of text and each length.
    rows = [("all", NoisePartFacts(wer=noise.wer, cer=noise.cer)), *noise.by_class.items()]
    rows += [(f"{label} units", part) for label, part in noise.by_length.items()]
    spoken = {"all": sum(facts.spans_by_class.values()), **facts.spans_by_class}
    shown = [
        [
            name,
            count(spoken[name]) if name in spoken else NONE,
            count(part.wer.items),
            interval(part.wer),
            interval(part.cer),
        ]
        for name, part in rows
    ]
    # The section, with the range of the shards' rates.
    ordered = sorted(rates)
    return [
        "## Noise",
        "",
        *prose(f"""{noise.spans:,} spans, a sample of every shard, read back by the speech tokenizer's recogniser,
        against their text as it is spoken; each stands for the spans of its shard, so that classes count by what was
        spoken, not by what was read back. Among {len(rates):,} shards the
        word error rate goes from {percent(ordered[0])} to {percent(ordered[-1])}, median
        {percent(ordered[len(ordered) // 2])}."""),
        *table(["spans", "spoken", "read back", "word error rate (95 %)", "character error rate (95 %)"], shown),
        "![Word error rate by class of text, by length, and by shard](noise.png)",
        "",
    ]


def plot_noise(path: Path, noise: NoiseFacts, *, rates: Sequence[float], max_wer: float | None) -> None:
    """Plot word error rates by class of text and by length of span, and a histogram of the shards' rates."""
    figure, panels = plots.new_figure(3, width=12.0)
    lengths = [label for label in length_labels() if label in noise.by_length]
    parts = [("by class of text", list(noise.by_class), noise.by_class)]
    parts.append(("by length of span, units", lengths, noise.by_length))
    top = max(part[label].wer.high for _, labels, part in parts for label in labels)
    for panel, (title, labels, found) in zip(panels[:2], parts, strict=True):
        for x, label in enumerate(labels):
            estimate = found[label].wer
            draw_interval(panel, x, estimate, Style(SPEECH, "o"))
        panel.axhline(noise.wer.value if noise.wer else 0, color=GREY, linestyle="--", linewidth=1.2)
        panel.set_xticks(range(len(labels)), labels, fontsize=9)
        panel.set(title=title, xlim=(-0.5, len(labels) - 0.5), ylim=(0, 1.05 * top or 1.0))
    panels[0].set_ylabel("word error rate, 95 % interval")
    panels[2].hist(rates, bins=min(40, max(5, len(rates) // 4)), color=SPEECH, alpha=0.75)
    if max_wer is not None:
        panels[2].axvline(max_wer, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    note(figure, "Dashed: all spans." if max_wer is None else "Dashed: all spans. Dotted: max_wer.")
    panels[2].set(title="by shard", xlabel="word error rate", ylabel="shards")
    plots.save_figure(figure, path)


def _or(value: float | None, show: Any, digits: int = 0) -> str:
    if value is None:
        return NONE
    return f"{100 * value:.{digits}f} %" if show is percent else str(show(value))
