"""Text-to-token models that learnt from different pairs, side by side: what do more hours of speech buy?

Everything comes from the manifests and logs of a row's own folders; error rates are counted again from the transcripts,
text by text, so that what a row adds to the true codes of the same texts has an interval that is free of their
difficulty. A row that was not run is named, never guessed. Price: one seed a row, so intervals cover the choice of
texts and not the luck of a training.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from megatron_speech.artifacts.facts.text_to_token import HeardTexts
from megatron_speech.artifacts.facts.tokens import PackedFacts, TaskDocumentsFacts
from megatron_speech.artifacts.facts.training import HeldOutLosses, MetricsRecord
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, read_facts, read_manifest
from megatron_speech.config.reports.text_to_token_curve import CurveRowConfig, TextToTokenCurveConfig
from megatron_speech.metrics.bootstrap import Bootstrap, Estimate
from megatron_speech.metrics.word_errors import UtteranceEdits, utterance_edits
from megatron_speech.reports.experiments import commentary, not_shown
from megatron_speech.reports.facts import NOT_REPORTED, RunFolder, count, in_points, interval, prose, table
from megatron_speech.reports.plots import GREY, SPEECH, TEXT, new_figure, save_figure

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CurveRow:
    """A finished row."""

    name: str
    folder: Path

    @cached_property
    def documents(self) -> TaskDocumentsFacts:
        """Facts of its pairs."""
        return read_facts(self.folder / "documents", TaskDocumentsFacts)

    @cached_property
    def run(self) -> RunFolder:
        """Its folders."""
        return RunFolder(self.folder)

    @cached_property
    def trips(self) -> list[HeardTexts]:
        """Lines of the round trip."""
        return self.run.records("round_trip/samples.jsonl", HeardTexts)

    @cached_property
    def metrics(self) -> list[MetricsRecord]:
        """Lines of its training."""
        return self.run.records("run/metrics.jsonl", MetricsRecord)

    @property
    def hours(self) -> float:
        """Speech that it learnt from."""
        return self.documents.duration_s / 3600

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.metrics[-1].step

    def edits(self, heard: str) -> UtteranceEdits:
        """Edits of every text; one that was given up is read as nothing."""
        return utterance_edits([line.text for line in self.trips], [getattr(line, heard) or "" for line in self.trips])

    def held_out_loss(self) -> str:
        """Loss on the speech of held-out pairs at the end, nats per token."""
        lines = self.run.records("run/validation.jsonl", HeldOutLosses)
        losses: dict[str, float] = next(iter(lines[-1].losses.values()), {}) if lines else {}
        return f"{losses['speech']:.2f}" if "speech" in losses else NOT_REPORTED

    def cpu_minutes(self) -> str:
        """CPU time of the training, all ranks together, over all attempts."""
        spent = [line["cpu_seconds"] for line in self.run.lines("timings.jsonl") if line["stage"] == "run"]
        return f"{sum(spent) / 60:.0f}" if spent else "not measured"


def text_to_token_curve(config: TextToTokenCurveConfig) -> None:
    """Write report.md and curve.png; FileNotFoundError or ValueError names what is missing or not as listed."""
    rows, absent = read_curve(config)
    bootstrap = Bootstrap(resamples=config.resamples)
    rates = {row.name: rate(row.edits("heard_synthesised"), bootstrap) for row in rows}
    floors = {row.name: rate(row.edits("heard_true_codes"), bootstrap) for row in rows}
    plot_curve(config.folder / "curve.png", rows, rates, floors, config)
    header = ["row", "reads", "pairs", "hours", "steps", "passes", "CPU minutes", "held-out loss"]
    header += ["round trip, WER", "true codes, WER", "above true codes"]
    cells = [
        [
            row.name,
            config.rows[row.name].spelling,
            count(row.documents.documents),
            f"{row.hours:.1f}",
            count(row.steps),
            passes(row),
            row.cpu_minutes(),
            row.held_out_loss(),
            interval(rates[row.name].rounded()),
            interval(floors[row.name].rounded()),
            above(row, bootstrap),
        ]
        for row in rows
    ]
    lines = [
        "# Text-to-token models against hours of pairs",
        "",
        *prose("""Each was trained once, with one seed, for the same number of steps, and then spoke the same held-out
        texts, which the speech tokenizer's own recogniser read back from the tokens. A text that was given up counts
        as read wrong throughout. True codes: the same texts, from the voice itself. Brackets are 95 % bootstrap
        intervals over texts; what a row adds to the true codes is taken text by text."""),
        *commentary(config.reading),
        *table(header, cells),
        "![Round trip against hours of pairs](curve.png)",
        "",
        *not_shown(absent),
    ]
    write_atomic(config.folder / "report.md", "\n".join(lines).rstrip() + "\n")
    logger.info("%s: %d rows", config.folder / "report.md", len(rows))


def read_curve(config: TextToTokenCurveConfig) -> tuple[list[CurveRow], dict[str, str]]:
    """Finished rows in the list's order, and why the others are left out."""
    rows, absent = [], {}
    for name, listed in config.rows.items():
        row = CurveRow(name, config.folder / name)
        if (row.folder / "round_trip" / MANIFEST).is_file():
            _require_as_listed(row, listed)
            rows.append(row)
        else:
            absent[name] = "begun but not finished" if row.folder.is_dir() else "not run"
    if not rows:
        raise ValueError(f"{config.folder} holds no row with a round trip; run examples/text_to_token/run.sh first")
    return rows, absent


def rate(edits: UtteranceEdits, bootstrap: Bootstrap) -> Estimate:
    """Word error rate over texts."""
    return bootstrap.ratio(edits.word_edits, edits.words)


def above(row: CurveRow, bootstrap: Bootstrap) -> str:
    """Word error rate less that of the true codes, over the same texts."""
    ours, true = row.edits("heard_synthesised"), row.edits("heard_true_codes")
    change = bootstrap.ratio(ours.word_edits - true.word_edits, ours.words)
    return in_points(change.value, change.low, change.high)


def passes(row: CurveRow) -> str:
    """How often every pair was read."""
    read = row.metrics[-1].consumed_samples
    rows = read_facts(row.folder / "packed", PackedFacts).rows
    return f"{read / rows:.1f}"


def plot_curve(
    path: Path,
    rows: list[CurveRow],
    rates: dict[str, Estimate],
    floors: dict[str, Estimate],
    config: TextToTokenCurveConfig,
) -> None:
    """Word error rate over hours, a line for each spelling; dashes: the true codes."""
    figure, (panel,) = new_figure(1, width=6)
    for spelling, colour in (("sounds", SPEECH), ("letters", TEXT)):
        shown = sorted((row for row in rows if config.rows[row.name].spelling == spelling), key=lambda row: row.hours)
        if not shown:
            continue
        values = [rates[row.name] for row in shown]
        panel.plot([row.hours for row in shown], [each.value for each in values], "o-", color=colour, label=spelling)
        for row, each in zip(shown, values, strict=True):
            panel.plot([row.hours] * 2, [each.low, each.high], color=colour, linewidth=1.5)
    panel.axhline(next(iter(floors.values())).value, color=GREY, linewidth=1, linestyle="--", label="true codes")
    panel.set(
        xlabel="hours of pairs", ylabel="round trip, word error rate, 95 % interval", ylim=(0, None), xscale="log"
    )
    hours = sorted({row.hours for row in rows})
    panel.set_xticks(hours, [f"{each:.1f}" for each in hours])
    panel.minorticks_off()
    panel.legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def _require_as_listed(row: CurveRow, listed: CurveRowConfig) -> None:
    """Refuse a folder that was made with other settings than its row's."""
    made = read_manifest(row.folder / "documents").config["utterances"]["of_first"]
    if made != listed.utterances:
        raise ValueError(
            f"{row.folder / 'documents'} was made from {made} utterances, rows.{row.name} says {listed.utterances}; "
            "correct the list, or delete the folder and run the row again"
        )
