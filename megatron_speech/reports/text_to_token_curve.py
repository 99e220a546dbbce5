"""Compares text-to-token models that were trained on different amounts of speech.

All numbers come from manifests and logs in the folders of a row. Error rates are counted again per text. Differences to
the true codes of the same texts are paired, so their intervals do not contain the difficulty of the texts.
Rows that were not run are listed. Limitation: each row has one seed, so intervals cover the choice of texts, not the
randomness of training.
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
from megatron_speech.reports.plots import new_figure, save_figure
from megatron_speech.reports.styles import GREY, draw_interval, name_series, styles

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CurveRow:
    """A finished row: a trained model with its round trip."""

    name: str
    folder: Path

    @cached_property
    def documents(self) -> TaskDocumentsFacts:
        """Facts of its training pairs."""
        return read_facts(self.folder / "documents", TaskDocumentsFacts)

    @cached_property
    def run(self) -> RunFolder:
        """Reader of its folder."""
        return RunFolder(self.folder)

    @cached_property
    def trips(self) -> list[HeardTexts]:
        """Lines of the round trip."""
        return self.run.records("round_trip/samples.jsonl", HeardTexts)

    @cached_property
    def metrics(self) -> list[MetricsRecord]:
        """Metric lines of its training."""
        return self.run.records("run/metrics.jsonl", MetricsRecord)

    @property
    def hours(self) -> float:
        """Hours of speech in the training pairs."""
        return self.documents.duration_s / 3600

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.metrics[-1].step

    def edits(self, heard: str) -> UtteranceEdits:
        """Word and character edits per text, for the field `heard` of `HeardTexts`; a failed text counts as silence."""
        return utterance_edits([line.text for line in self.trips], [getattr(line, heard) or "" for line in self.trips])

    def held_out_loss(self) -> str:
        """Final loss on the speech of held-out pairs, in nats per token."""
        lines = self.run.records("run/validation.jsonl", HeldOutLosses)
        losses: dict[str, float] = next(iter(lines[-1].losses.values()), {}) if lines else {}
        return f"{losses['speech']:.2f}" if "speech" in losses else NOT_REPORTED

    def cpu_minutes(self) -> str:
        """CPU minutes of the training, summed over ranks and attempts."""
        spent = [line["cpu_seconds"] for line in self.run.lines("timings.jsonl") if line["stage"] == "run"]
        return f"{sum(spent) / 60:.0f}" if spent else "not measured"


def text_to_token_curve(config: TextToTokenCurveConfig) -> None:
    """Write report.md and curve.png into `config.folder`.

    Raises FileNotFoundError or ValueError for a missing file, and for a row that was not made as listed.
    """
    # Read the rows, estimate error rates, draw the curve.
    rows, absent = read_curve(config)
    bootstrap = Bootstrap(resamples=config.resamples)
    rates = {row.name: rate(row.edits("heard_synthesised"), bootstrap) for row in rows}
    floors = {row.name: rate(row.edits("heard_true_codes"), bootstrap) for row in rows}
    plot_curve(config.folder / "curve.png", rows, rates, floors, config)
    # Fill the table and write the page.
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
        *prose("""Each model was trained once, with one seed, for the same number of steps. It then synthesised the same
        held-out texts, and the speech tokenizer's own recogniser read them back from the codes. A text whose synthesis
        failed counts as read wrong throughout. True codes are those of the recordings of the same texts. Brackets are
        95 % bootstrap intervals over texts; the difference to the true codes is paired by text."""),
        *commentary(config.reading),
        *table(header, cells),
        "![Round trip against hours of pairs](curve.png)",
        "",
        *not_shown(absent),
    ]
    write_atomic(config.folder / "report.md", "\n".join(lines).rstrip() + "\n")
    logger.info("%s: %d rows", config.folder / "report.md", len(rows))


def read_curve(config: TextToTokenCurveConfig) -> tuple[list[CurveRow], dict[str, str]]:
    """Finished rows in the order of the list, and reasons by row that is left out.

    Raises ValueError if no row is finished, or if one was not made as listed.
    """
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
    """Word error rate, resampled over texts."""
    return bootstrap.ratio(edits.word_edits, edits.words)


def above(row: CurveRow, bootstrap: Bootstrap) -> str:
    """Paired difference of word error rates, in points: from synthesised codes minus from true codes."""
    ours, true = row.edits("heard_synthesised"), row.edits("heard_true_codes")
    change = bootstrap.ratio(ours.word_edits - true.word_edits, ours.words)
    return in_points(change.value, change.low, change.high)


def passes(row: CurveRow) -> str:
    """Number of passes over the packed training pairs."""
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
    """Word error rate over hours of speech, one line per spelling; dashed: the true codes."""
    figure, (panel,) = new_figure(1, width=6)
    named = {}
    for spelling, style in styles(["letters", "sounds"]).items():
        shown = sorted((row for row in rows if config.rows[row.name].spelling == spelling), key=lambda row: row.hours)
        if not shown:
            continue
        named[spelling] = style
        values = [rates[row.name] for row in shown]
        panel.plot([row.hours for row in shown], [each.value for each in values], color=style.colour)
        for row, each in zip(shown, values, strict=True):
            draw_interval(panel, row.hours, each, style)
    panel.axhline(next(iter(floors.values())).value, color=GREY, linewidth=1, linestyle="--", label="true codes")
    panel.set(
        xlabel="hours of pairs", ylabel="round trip, word error rate, 95 % interval", ylim=(0, None), xscale="log"
    )
    hours = sorted({row.hours for row in rows})
    panel.set_xticks(hours, [f"{each:.1f}" for each in hours])
    panel.minorticks_off()
    name_series(panel, named, line="-")
    save_figure(figure, path)


def _require_as_listed(row: CurveRow, listed: CurveRowConfig) -> None:
    """Raises ValueError if the row was made from another number of utterances than its list says."""
    made = read_manifest(row.folder / "documents").config["utterances"]["of_first"]
    if made != listed.utterances:
        raise ValueError(
            f"{row.folder / 'documents'} was made from {made} utterances, rows.{row.name} says {listed.utterances}; "
            "correct the list, or delete the folder and run the row again"
        )
