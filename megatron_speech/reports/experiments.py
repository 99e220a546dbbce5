"""Compares speech tokenizers that were trained with different settings, in one table.

A row is a folder with a tokenizer and its report. Its settings are read from the tokenizer's manifest and checked
against the list of rows. Error rates are counted again per utterance, so differences to the baseline are paired:
their intervals do not contain the difficulty of utterances. Limitation: each row has one seed, so intervals cover
the choice of utterances, not the randomness of training.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.speech_tokenizer import ResidualFacts
from megatron_speech.artifacts.facts.tokenizer_report import SummaryFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, read_facts, read_manifest
from megatron_speech.config.reports.tokenizer_report import TokenizerExperimentsConfig
from megatron_speech.metrics.bootstrap import Bootstrap, Estimate
from megatron_speech.metrics.word_errors import UtteranceEdits, utterance_edits
from megatron_speech.reports.facts import (
    FROM_CODES,
    NOT_REPORTED,
    WITHOUT_BOTTLENECK,
    RunFolder,
    count,
    in_points,
    interval,
    prose,
    table,
)
from megatron_speech.reports.settings import differences, require_as_listed
from megatron_speech.reports.tokenizer_plots import plot_experiments

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """A finished row: a tokenizer and its report."""

    name: str
    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the tokenizer's training, as plain JSON."""
        settings: dict[str, Any] = read_manifest(self.folder / "tokenizer").config
        return settings

    @cached_property
    def residual(self) -> float | None:
        """Share of the variance that the codebook did not explain before training; None if not reported."""
        return read_facts(self.folder / "tokenizer", ResidualFacts).kmeans_residual

    @cached_property
    def report(self) -> SummaryFacts:
        """Facts of its report."""
        return read_facts(self.folder / "report", SummaryFacts)

    @cached_property
    def transcripts(self) -> dict[str, list[dict[str, Any]]]:
        """Transcript lines of its report, by data set."""
        run = RunFolder(self.folder / "report")
        return {audio: run.lines(f"{audio}.jsonl") for audio in read_manifest(self.folder / "report").config["audio"]}

    @property
    def whisper(self) -> str:
        """Name of the Whisper model it was trained from."""
        return Path(self.settings["whisper"]).name

    def edits(self, audio: str, reader: str) -> UtteranceEdits | None:
        """Word and character edits per utterance of the data set `audio`; None if `reader` did not read it."""
        lines = self.transcripts.get(audio) or []
        if not lines or reader not in lines[0]:
            return None
        return utterance_edits([line["said"] for line in lines], [line[reader] for line in lines])

    def cpu_minutes(self) -> str:
        """CPU minutes of the training, summed over threads and attempts."""
        path = self.folder / "timings.jsonl"
        lines = RunFolder(self.folder).lines(path.name) if path.is_file() else []
        spent = [line["cpu_seconds"] for line in lines if line["stage"] == "tokenizer"]
        return f"{sum(spent) / 60:.0f}" if spent else "not measured"


def tokenizer_experiments(config: TokenizerExperimentsConfig) -> None:
    """Write report.md and wer.png into `config.folder`.

    Raises FileNotFoundError or ValueError for a missing file, and for a row that was not made as listed.
    """
    # Read the rows, and estimate error rates from codes, from audio, and against the baseline.
    rows, absent = read_rows(config)
    bootstrap = Bootstrap(resamples=config.resamples)
    rates = {audio: [word_error(row.edits(audio, FROM_CODES), bootstrap) for row in rows] for audio in config.audio}
    bounds = read_bounds(rows, config.audio, bootstrap)
    base = next((row for row in rows if row.name == config.baseline), None)
    floor = bounds.get(f"{base.whisper}, {WITHOUT_BOTTLENECK}", {}) if base else {}
    plot_experiments(
        config.folder / "wer.png",
        [row.name for row in rows],
        rates,
        {name: bound.value for name, bound in floor.items()},
    )
    against = {row.name: difference(row, base, config.audio[0], bootstrap) for row in rows} if base else {}
    # Write the page.
    lines = [
        "# Speech tokenizers, side by side",
        "",
        *prose(f"""Each tokenizer was trained once, with one seed and the settings of {config.baseline}, except those
        beside its name. WER: words that the tokenizer's own recogniser reads wrong from the codes, with 95 % bootstrap
        intervals over utterances. The difference to {config.baseline} is paired by utterance, so its interval is
        narrower than those of the two rates; an interval that contains 0 decides nothing. Perplexity: of the codes of
        all held-out speech. Residual: share of the variance that the codebook does not explain before training."""),
        *commentary(config.reading),
        *table(*main_table(config, rows, base, rates, against)),
        *told_apart(config, against),
        "![Word error rates of every row](wer.png)",
        "",
        *bound_table(config.audio, bounds),
        *not_shown(absent),
    ]
    write_atomic(config.folder / "report.md", "\n".join(lines).rstrip() + "\n")
    logger.info("%s: %d rows", config.folder / "report.md", len(rows))


def read_rows(config: TokenizerExperimentsConfig) -> tuple[list[Row], dict[str, str]]:
    """Finished rows, listed ones first and others by name; reasons by row that is left out.

    Raises FileNotFoundError without `config.folder`, ValueError if no row is finished or one is not as listed.
    """
    if not config.folder.is_dir():
        raise FileNotFoundError(f"{config.folder} does not exist; train its rows with examples/speech_tokenizer/run.sh")
    others = {path.name for path in config.folder.iterdir() if (path / "tokenizer" / MANIFEST).is_file()}
    rows, absent = [], {}
    for name in [*config.rows, *sorted(others - config.rows.keys())]:
        row = Row(name, config.folder / name)
        missing = [part for part in ("tokenizer", "report") if not (row.folder / part / MANIFEST).is_file()]
        if missing:
            begun = (row.folder / f"{missing[0]}.partial").is_dir()
            absent[name] = f"{missing[0]} begun but not finished" if begun else f"no {missing[0]} yet"
            continue
        require_as_listed(row.folder / "tokenizer", row.settings, config.rows.get(name, ""))
        rows.append(row)
    if not rows:
        raise ValueError(f"{config.folder} holds no row with both tokenizer and report; train one first")
    return rows, absent


def word_error(edits: UtteranceEdits | None, bootstrap: Bootstrap) -> Estimate | None:
    """Word error rate, resampled over utterances; None without edits."""
    return None if edits is None else bootstrap.ratio(edits.word_edits, edits.words)


def difference(row: Row, base: Row, audio: str, bootstrap: Bootstrap) -> Estimate | None:
    """Paired difference of word error rates from codes, `row` minus `base`; None if one did not read `audio`.

    Raises ValueError if the two reports do not have the same utterances.
    """
    ours, theirs = row.edits(audio, FROM_CODES), base.edits(audio, FROM_CODES)
    if ours is None or theirs is None:
        return None
    keys = [[line["key"] for line in each.transcripts[audio]] for each in (row, base)]
    if keys[0] != keys[1]:
        raise ValueError(
            f"{row.folder / 'report'}: {len(keys[0])} clips of {audio} are not the {len(keys[1])} of {base.name}; "
            "make the reports of all rows from the same audio with the same max_utterances"
        )
    return bootstrap.ratio(ours.word_edits - theirs.word_edits, ours.words)


def read_bounds(rows: Sequence[Row], audio: Sequence[str], bootstrap: Bootstrap) -> dict[str, dict[str, Estimate]]:
    """Word error rates of readers that hear the audio, by reader and data set, from the first row that has them."""
    bounds: dict[str, dict[str, Estimate]] = {}
    for row in rows:
        judge = row.report.judge
        readers = {f"{row.whisper}, {WITHOUT_BOTTLENECK}": WITHOUT_BOTTLENECK}
        readers |= {f"{judge}, independent judge": f"judge {judge}"} if judge else {}
        for label, reader in readers.items():
            for name in audio:
                if name not in bounds.get(label, {}) and (edits := row.edits(name, reader)) is not None:
                    bounds.setdefault(label, {})[name] = bootstrap.ratio(edits.word_edits, edits.words)
    return bounds


def main_table(
    config: TokenizerExperimentsConfig,
    rows: Sequence[Row],
    base: Row | None,
    rates: dict[str, list[Estimate | None]],
    against: dict[str, Estimate | None],
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the main table."""
    header = ["row", "changed settings", "steps", "CPU minutes", *(f"{audio}, WER" for audio in config.audio)]
    header += [f"{config.audio[0]}, minus {config.baseline}'s", "perplexity", "residual"]
    cells = []
    for index, row in enumerate(rows):
        other = differences(row.settings, base.settings, config.rows.get(row.name, "")) if base else []
        change = against.get(row.name)
        cells.append(
            [
                f"**{row.name}**" if row is base else row.name,
                ", ".join(other),
                count(row.settings["steps"]),
                row.cpu_minutes(),
                *(shown(rates[audio][index]) for audio in config.audio),
                "" if row is base else added(change),
                f"{row.report.perplexity:.0f}",
                NOT_REPORTED if row.residual is None else f"{row.residual:.3f}",
            ]
        )
    return header, cells


def told_apart(config: TokenizerExperimentsConfig, against: dict[str, Estimate | None]) -> list[str]:
    """A paragraph that names the rows with an interval above or below the baseline."""
    known = {name: change for name, change in against.items() if change and name != config.baseline}
    if not known:
        return []
    groups = {
        "better": [name for name, change in known.items() if change.high < 0],
        "worse": [name for name, change in known.items() if change.low > 0],
        "undecided": [name for name, change in known.items() if change.low <= 0 <= change.high],
    }
    said = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items() if names)
    return prose(f"""On {config.audio[0]}, compared with {config.baseline}: {said}. One interval in twenty misses the
    true value by chance, and a second seed may move a row by more than its interval.""")


def bound_table(audio: Sequence[str], bounds: dict[str, dict[str, Estimate]]) -> list[str]:
    """The section with word error rates of readers that hear the audio."""
    if not bounds:
        return []
    cells = [[label, *(shown(by_set.get(name)) for name in audio)] for label, by_set in bounds.items()]
    return [
        "## Word errors of readers that hear the audio",
        "",
        *prose("""These readers hear the audio instead of codes. Their errors bound what to expect of a tokenizer. The
        dashed lines in the figure are the Whisper model that the baseline was trained from."""),
        *table(["reader", *(f"{name}, WER" for name in audio)], cells),
    ]


def not_shown(absent: dict[str, str]) -> list[str]:
    """The section that lists rows without a result, by reason."""
    if not absent:
        return []
    by_reason: dict[str, list[str]] = {}
    for name, why in absent.items():
        by_reason.setdefault(why, []).append(f"`{name}`")
    return ["## Not in this table", "", *(f"- {why}: {', '.join(names)}" for why, names in by_reason.items()), ""]


def commentary(path: Path | None) -> list[str]:
    """A section with the text of file `path`, which a person wrote about the table; no lines without `path`.

    Raises FileNotFoundError if the file does not exist.
    """
    if path is None:
        return []
    if not path.is_file():
        raise FileNotFoundError(f"reading={path} does not exist; write it, or leave the setting out")
    return ["## Reading", "", path.read_text().strip(), "", "## Table", ""]


def shown(estimate: Estimate | None) -> str:
    """A rate with its interval, or "not reported"."""
    return NOT_REPORTED if estimate is None else interval(estimate.rounded())


def added(change: Estimate | None) -> str:
    """A difference of rates in points, with its interval, or "not reported"."""
    return NOT_REPORTED if change is None else in_points(change.value, change.low, change.high)
