"""Compares training arms with and without interleaved data: do written facts answer spoken questions?

All numbers are computed from the answers to each question (``evaluation/items.jsonl``) of every arm and seed. A
question's credit is the mean over its spoken readings and over seeds, so intervals are over questions; the accuracies
of single seeds stand beside them. Differences from the baseline arm are paired by question.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import stdev

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import MANIFEST
from megatron_speech.config.reports.claim import ArmConfig, ClaimReportConfig
from megatron_speech.metrics.bootstrap import Estimate
from megatron_speech.metrics.intervals import mean_interval, paired_difference
from megatron_speech.reports.experiments import commentary, not_shown
from megatron_speech.reports.facts import RunFolder, count, in_points, interval, prose, table
from megatron_speech.reports.plots import new_figure, save_figure
from megatron_speech.reports.styles import GREY, draw_interval, name_series, styles

logger = logging.getLogger(__name__)

PAIRS = {
    "text->text": "written question, written answer",
    "speech->text": "spoken question, written answer",
    "text->speech": "written question, spoken answer",
    "speech->speech": "spoken question, spoken answer",
}
GROUPS = {
    "spoken": "capitals that were heard",
    "written_only": "capitals only ever written",
    "towns_spoken": "invented emblems that were heard",
    "towns_written_only": "invented emblems only ever written",
}
CHANCE = 0.25
Cell = tuple[str, str]
"""A pair of modalities and a group of questions."""
COLUMNS: tuple[Cell, ...] = (
    ("speech->text", "spoken"),
    ("speech->text", "written_only"),
    ("speech->text", "towns_spoken"),
    ("speech->text", "towns_written_only"),
)
"""Cells of the first table: spoken questions, answered in writing."""


@dataclass(frozen=True)
class Arm:
    """The finished training runs of one arm."""

    name: str
    config: ArmConfig
    seeds: dict[str, Path]
    """Folders by seed."""

    @cached_property
    def by_seed(self) -> dict[str, dict[Cell, dict[str, float]]]:
        """Credit of each question, a mean over its readings, by seed and cell."""
        return {seed: _credits(folder / "evaluation") for seed, folder in self.seeds.items()}

    @property
    def cells(self) -> set[Cell]:
        """Cells in which questions were asked."""
        return {cell for credits in self.by_seed.values() for cell in credits}

    def credits(self, cell: Cell) -> dict[str, float]:
        """Credit of each question of a cell: the mean over seeds."""
        asked = [credits[cell] for credits in self.by_seed.values()]
        return {item: sum(credits[item] for credits in asked) / len(asked) for item in asked[0]}

    def accuracy(self, cell: Cell) -> Estimate:
        """Mean over questions and seeds; its interval is over questions."""
        return mean_interval(list(self.credits(cell).values()))

    def of_seeds(self, cell: Cell) -> list[float]:
        """Accuracy of each seed alone."""
        return [sum(credits[cell].values()) / len(credits[cell]) for credits in self.by_seed.values()]

    @cached_property
    def tokens(self) -> int:
        """Tokens of one training run."""
        lines = RunFolder(next(iter(self.seeds.values()))).lines("run/metrics.jsonl")
        return int(lines[-1]["consumed_tokens"])

    @property
    def interleaved_tokens(self) -> float:
        """Interleaved tokens of one training run."""
        return self.config.interleaved * self.tokens


def claim_report(config: ClaimReportConfig) -> None:
    """Write report.md and claim.png into `config.folder`.

    Raises FileNotFoundError or ValueError for a missing or damaged file.
    """
    arms, absent = read_arms(config)
    baseline = next((arm for arm in arms if arm.name == config.baseline), None)
    plot_claim(config.folder / "claim.png", arms)
    lines = [
        "# Does interleaving carry written facts to speech?",
        "",
        *prose("""Each arm trained a model of the same size from scratch, on as many tokens as every other arm.
        Questions have four candidate answers, so chance is 25 %. Brackets are 95 % intervals over questions; the credit
        of a question is its mean over readings and seeds. Accuracies of single seeds follow. Differences are paired by
        question, with their number of standard errors."""),
        *commentary(config.reading),
        "![Accuracy of spoken questions against interleaved tokens](claim.png)",
        "",
        *_table_of_arms(arms),
        *_differences(arms, baseline),
        *_all_pairs(arms),
        *not_shown(absent),
    ]
    write_atomic(config.folder / "report.md", "\n".join(lines).rstrip() + "\n")
    logger.info("%s: %d arms", config.folder / "report.md", len(arms))


def read_arms(config: ClaimReportConfig) -> tuple[list[Arm], dict[str, str]]:
    """Arms with a finished evaluation, and reasons by arm that has none.

    Raises ValueError if no arm is finished, or if the shares of one do not add up to 1.
    """
    arms, absent = [], {}
    for name, listed in config.arms.items():
        if abs(sum(listed.shares.values()) - 1) > 1e-6:
            raise ValueError(f"arms.{name}: shares must add up to 1, not {listed.shares}")
        made = sorted((config.folder / name).glob(f"*/evaluation/{MANIFEST}"), key=lambda path: path.parts[-3])
        if made:
            arms.append(Arm(name, listed, {path.parts[-3]: path.parents[1] for path in made}))
        else:
            absent[name] = "begun but not finished" if (config.folder / name).is_dir() else "not run"
    if not arms:
        raise ValueError(f"{config.folder} holds no arm with an evaluation; run examples/claim/run.sh first")
    return arms, absent


def plot_claim(path: Path, arms: list[Arm]) -> None:
    """Accuracy of spoken questions over interleaved tokens, one line per group of questions."""
    groups = [cell for cell in COLUMNS if all(cell in arm.cells for arm in arms)]
    figure, (panel,) = new_figure(1, width=7)
    named = {}
    ranked = sorted(arms, key=lambda arm: arm.interleaved_tokens)
    for cell, style in zip(groups, styles([GROUPS[group] for _, group in groups]).values(), strict=True):
        named[GROUPS[cell[1]]] = style
        values = [arm.accuracy(cell) for arm in ranked]
        panel.plot([arm.interleaved_tokens for arm in ranked], [each.value for each in values], color=style.colour)
        for arm, each in zip(ranked, values, strict=True):
            draw_interval(panel, arm.interleaved_tokens, each, style)
    panel.axhline(CHANCE, color=GREY, linewidth=1, linestyle="--", label="chance")
    panel.set(xlabel="interleaved tokens", ylabel="spoken questions right, 95 % interval", ylim=(0, 1.02))
    name_series(panel, named, line="-", below=True)
    save_figure(figure, path)


def _credits(evaluation: Path) -> dict[Cell, dict[str, float]]:
    credits: defaultdict[Cell, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in RunFolder(evaluation).lines("items.jsonl"):
        if line["task"] == "GeoQA":
            credits[line["pair"], line["group"]][line["item"]].append(line["credit"])
    return {
        cell: {item: sum(values) / len(values) for item, values in items.items()} for cell, items in credits.items()
    }


def _table_of_arms(arms: list[Arm]) -> list[str]:
    header = ["arm", "shares of tokens", "tokens", "interleaved", "seeds"]
    header += [f"spoken: {GROUPS[group]}" for _, group in COLUMNS]
    rows = [
        [
            arm.name,
            ", ".join(f"{source} {share:g}" for source, share in arm.config.shares.items() if share),
            count(arm.tokens),
            count(round(arm.interleaved_tokens)),
            str(len(arm.seeds)),
            *(_cell(arm, cell) for cell in COLUMNS),
        ]
        for arm in arms
    ]
    return ["## Spoken questions, answered in writing", "", *table(header, rows)]


def _differences(arms: list[Arm], baseline: Arm | None) -> list[str]:
    """Each arm minus the baseline, paired by question."""
    others = [arm for arm in arms if arm is not baseline]
    if baseline is None or not others:
        return []
    rows = [
        [arm.name, *(_difference(baseline.credits(cell), arm.credits(cell)) for cell in COLUMNS if cell in arm.cells)]
        for arm in others
    ]
    header = [f"above {baseline.name}", *(GROUPS[cell[1]] for cell in COLUMNS if cell in baseline.cells)]
    return [f"## Above the arm {baseline.name}", "", *table(header, rows)]


def _difference(first: dict[str, float], second: dict[str, float]) -> str:
    change = paired_difference(list(first.values()), [second[item] for item in first])
    spread = stdev(second[item] - first[item] for item in first) / math.sqrt(len(first))
    errors = f", {change.value / spread:.1f} standard errors" if spread else ""
    return f"{in_points(change.value, change.low, change.high)}{errors}"


def _all_pairs(arms: list[Arm]) -> list[str]:
    lines = []
    for pair, words in PAIRS.items():
        cells = [(pair, group) for group in GROUPS]
        if all(cell in arm.cells for arm in arms for cell in cells):
            rows = [[arm.name, *(_cell(arm, cell) for cell in cells)] for arm in arms]
            lines += [f"## {words.capitalize()}", "", *table(["arm", *GROUPS.values()], rows)]
    return lines


def _cell(arm: Arm, cell: Cell) -> str:
    if cell not in arm.cells:
        return "not asked"
    seeds = " ".join(f"{value:.2f}" for value in arm.of_seeds(cell))
    return f"{interval(arm.accuracy(cell).rounded())}; {seeds}"
