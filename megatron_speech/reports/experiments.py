"""Speech tokenizers that differ in a setting or two, side by side.

A row is a folder with a tokenizer and its report. What a row is comes from the tokenizer's own manifest, held against
what the list says; error rates are counted again from the transcripts, utterance by utterance, so that a row's
difference to the baseline is taken over the same clips and its interval is free of their difficulty. Price: one seed
a row, so intervals cover the choice of clips and not the luck of a training.
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
    """A finished row."""

    name: str
    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the tokenizer's training, as plain JSON."""
        settings: dict[str, Any] = read_manifest(self.folder / "tokenizer").config
        return settings

    @cached_property
    def residual(self) -> float | None:
        """Share of the variance that the codebook missed before training."""
        return read_facts(self.folder / "tokenizer", ResidualFacts).kmeans_residual

    @cached_property
    def report(self) -> SummaryFacts:
        """What its report found."""
        return read_facts(self.folder / "report", SummaryFacts)

    @cached_property
    def transcripts(self) -> dict[str, list[dict[str, Any]]]:
        """Lines of the report's transcripts by data set."""
        run = RunFolder(self.folder / "report")
        return {audio: run.lines(f"{audio}.jsonl") for audio in read_manifest(self.folder / "report").config["audio"]}

    @property
    def whisper(self) -> str:
        """Name of the model it started from."""
        return Path(self.settings["whisper"]).name

    def edits(self, audio: str, reader: str) -> UtteranceEdits | None:
        """Edits of every utterance of a data set by one reader; None where it was not asked."""
        lines = self.transcripts.get(audio) or []
        if not lines or reader not in lines[0]:
            return None
        return utterance_edits([line["said"] for line in lines], [line[reader] for line in lines])

    def cpu_minutes(self) -> str:
        """CPU time of the training, all threads together, over all attempts."""
        path = self.folder / "timings.jsonl"
        lines = RunFolder(self.folder).lines(path.name) if path.is_file() else []
        spent = [line["cpu_seconds"] for line in lines if line["stage"] == "tokenizer"]
        return f"{sum(spent) / 60:.0f}" if spent else "not measured"


def tokenizer_experiments(config: TokenizerExperimentsConfig) -> None:
    """Write report.md and wer.png; FileNotFoundError or ValueError names what is missing or not as listed."""
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
    lines = [
        "# Speech tokenizers, side by side",
        "",
        *prose(f"""Each was trained once, with one seed and the settings of {config.baseline} but for what stands beside
        its name. Words read wrong from the codes by the tokenizer's own recogniser, with 95 % bootstrap intervals over
        utterances. The difference is taken utterance by utterance: its interval is narrower than those of the two
        rates, and what contains 0 decides nothing. Perplexity: of the codes of all held-out speech. Residual: share of
        the variance that the codebook misses before training."""),
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
    """Finished rows in the list's order, then others by name; and why the rest is left out."""
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
    """Word error rate over utterances."""
    return None if edits is None else bootstrap.ratio(edits.word_edits, edits.words)


def difference(row: Row, base: Row, audio: str, bootstrap: Bootstrap) -> Estimate | None:
    """Word error rate from codes less the baseline's, over the same utterances; ValueError where they are others."""
    ours, theirs = row.edits(audio, FROM_CODES), base.edits(audio, FROM_CODES)
    if ours is None or theirs is None:
        return None
    keys = [[line["key"] for line in each.transcripts[audio]] for each in (row, base)]
    if keys[0] != keys[1]:
        raise ValueError(
            f"{row.folder / 'report'}: {len(keys[0])} clips of {audio}, {base.name} was read on {len(keys[1])} others; "
            "make the reports of all rows from the same audio with the same max_utterances"
        )
    return bootstrap.ratio(ours.word_edits - theirs.word_edits, ours.words)


def read_bounds(rows: Sequence[Row], audio: Sequence[str], bootstrap: Bootstrap) -> dict[str, dict[str, Estimate]]:
    """What readers of the audio itself get wrong, by reader and data set: the first row that asked them."""
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
    """Header and cells."""
    header = ["row", "what is other", "steps", "CPU minutes", *(f"{audio}, WER" for audio in config.audio)]
    header += [f"{config.audio[0]}, less {config.baseline}'s", "perplexity", "residual"]
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
    """Which rows are better or worse than the baseline beyond the choice of clips."""
    known = {name: change for name, change in against.items() if change and name != config.baseline}
    if not known:
        return []
    groups = {
        "better": [name for name, change in known.items() if change.high < 0],
        "worse": [name for name, change in known.items() if change.low > 0],
        "not to be told apart": [name for name, change in known.items() if change.low <= 0 <= change.high],
    }
    said = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items() if names)
    return prose(f"""On {config.audio[0]}, beside {config.baseline}: {said}. One interval in twenty misses by chance,
    and a second seed may move a row by more than its interval.""")


def bound_table(audio: Sequence[str], bounds: dict[str, dict[str, Estimate]]) -> list[str]:
    """Readers of the audio itself."""
    if not bounds:
        return []
    cells = [[label, *(shown(by_set.get(name)) for name in audio)] for label, by_set in bounds.items()]
    return [
        "## What readers of the audio itself get wrong",
        "",
        *prose("""No judge can read codes: these hear the audio, and bound what to expect of a tokenizer. Dashes in the
        figure: the model that the baseline started from."""),
        *table(["reader", *(f"{name}, WER" for name in audio)], cells),
    ]


def not_shown(absent: dict[str, str]) -> list[str]:
    """Rows without a result, by what they lack."""
    if not absent:
        return []
    by_reason: dict[str, list[str]] = {}
    for name, why in absent.items():
        by_reason.setdefault(why, []).append(f"`{name}`")
    return ["## Not in this table", "", *(f"- {why}: {', '.join(names)}" for why, names in by_reason.items()), ""]


def commentary(path: Path | None) -> list[str]:
    """The text of a person who read the table; FileNotFoundError if it is not there."""
    if path is None:
        return []
    if not path.is_file():
        raise FileNotFoundError(f"reading={path} does not exist; write it, or leave the setting out")
    return ["## Reading", "", path.read_text().strip(), "", "## Table", ""]


def shown(estimate: Estimate | None) -> str:
    """A rate with its interval."""
    return NOT_REPORTED if estimate is None else interval(estimate.rounded())


def added(change: Estimate | None) -> str:
    """What a row adds to the baseline's rate, in points with its interval."""
    return NOT_REPORTED if change is None else in_points(change.value, change.low, change.high)
