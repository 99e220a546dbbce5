"""Reads the training runs of the arms, and the answers to each question.

A question's credit is the mean over its spoken readings and over seeds, so intervals are over questions.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from scipy import stats

from megatron_speech.artifacts.facts.probe import LayersProbeFacts
from megatron_speech.artifacts.facts.training import RunSummary, ValidationRecord
from megatron_speech.artifacts.manifest import MANIFEST, read_facts
from megatron_speech.config.reports.claim import ArmConfig, ClaimReportConfig
from megatron_speech.metrics.bootstrap import Estimate
from megatron_speech.metrics.intervals import mean_interval, paired_difference
from megatron_speech.reports.facts import RunFolder

CHANCE = 0.25
Cell = tuple[str, str]
"""A pair of modalities and a group of questions."""
SUMMARY, ALONG, ANSWERS = "run/done.json", "run/validation.jsonl", "evaluation/items.jsonl"
PROBE = "probe"
DIGITS = 4
"""Decimals of the kept log-likelihoods."""


class Comparison(NamedTuple):
    """A difference that is paired by question."""

    estimate: Estimate
    errors: float | None
    """The difference in standard errors; None if all questions differ alike."""


class Trend(NamedTuple):
    """How the credit of a question changes from one amount to the next."""

    estimate: Estimate
    p: float
    """Probability of a mean slope this far from 0, in either direction, if there were none (t-test over questions)."""


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
        return {seed: _credits(folder) for seed, folder in self.seeds.items()}

    @property
    def cells(self) -> set[Cell]:
        """Cells in which questions were asked."""
        return {cell for credits in self.by_seed.values() for cell in credits}

    def credits(self, cell: Cell) -> dict[str, float]:
        """Credit of each question of a cell: the mean over seeds."""
        asked = [credits[cell] for credits in self.by_seed.values()]
        return {item: fmean(credits[item] for credits in asked) for item in sorted(asked[0])}

    def accuracy(self, cell: Cell) -> Estimate:
        """Mean over questions and seeds; its interval is over questions."""
        return mean_interval(list(self.credits(cell).values()))

    def of_seeds(self, cell: Cell) -> list[float]:
        """Accuracy of each seed alone."""
        return [fmean(credits[cell].values()) for credits in self.by_seed.values()]

    @cached_property
    def summaries(self) -> list[RunSummary]:
        """What the training runs say of themselves, by seed."""
        return [RunSummary.from_json(json.loads((folder / SUMMARY).read_text())) for folder in self.seeds.values()]

    @property
    def tokens(self) -> int:
        """Tokens of one training run."""
        return sum(source.planned for source in self.summaries[0].tokens_by_source.values())

    @property
    def interleaved_tokens(self) -> int:
        """Interleaved tokens of one training run."""
        sources = self.summaries[0].tokens_by_source
        return sources["interleaved"].planned if "interleaved" in sources else 0

    @property
    def minutes(self) -> float | None:
        """Minutes of one training run at its own speed, a mean over seeds; None if a speed was not measured."""
        speeds = [summary.tokens_per_s for summary in self.summaries]
        return None if not all(speeds) else fmean(self.tokens / speed / 60 for speed in speeds if speed)

    @property
    def layers(self) -> dict[str, float]:
        """Share of spoken questions nearest to themselves in writing, by layer, a mean over seeds; empty if unknown."""
        probes = [read_facts(folder / PROBE, LayersProbeFacts).layers for folder in self._probed]
        return {layer: fmean(probe[layer].value for probe in probes) for layer in probes[0]} if probes else {}

    @property
    def _probed(self) -> list[Path]:
        return [folder for folder in self.seeds.values() if (folder / PROBE / MANIFEST).is_file()]

    def along(self, cell: Cell) -> dict[int, list[float]]:
        """Accuracies of the seeds that were asked during the training, by tokens so far."""
        pair, group = cell
        found: dict[int, list[float]] = {}
        for folder, summary in zip(self.seeds.values(), self.summaries, strict=True):
            for record in RunFolder(folder).records(ALONG, ValidationRecord):
                for results in (record.tasks or {}).values():
                    if pair in results and group in results[pair]:
                        so_far = round(self.tokens * record.step / summary.steps)
                        found.setdefault(so_far, []).append(results[pair][group]["value"])
        return dict(sorted(found.items()))


def read_arms(config: ClaimReportConfig) -> tuple[list[Arm], dict[str, str]]:
    """Arms with a finished evaluation, and reasons by arm that has none.

    Raises ValueError if no arm is finished, or if the shares of one do not add up to 1.
    """
    arms, absent = [], {}
    for name, listed in config.arms.items():
        if abs(sum(listed.shares.values()) - 1) > 1e-6:
            raise ValueError(f"arms.{name}: shares must add up to 1, not {listed.shares}")
        made = {path.parents[1].name: path.parents[1] for path in sorted((config.folder / name).glob(f"*/{ANSWERS}*"))}
        made = {seed: folder for seed, folder in made.items() if (folder / SUMMARY).is_file()}
        if made:
            arms.append(Arm(name, listed, made))
        else:
            absent[name] = "begun but not finished" if (config.folder / name).is_dir() else "not run"
    if not arms:
        raise ValueError(f"{config.folder} holds no arm with an evaluation; run examples/claim/run.sh first")
    return arms, absent


def compare(first: Arm, second: Arm, cell: Cell) -> Comparison:
    """Credits of `second` minus those of `first`, paired by question."""
    before, after = first.credits(cell), second.credits(cell)
    changes = [after[item] - before[item] for item in before]
    spread = stdev(changes) / math.sqrt(len(changes))
    change = paired_difference(list(before.values()), [after[item] for item in before])
    return Comparison(change, change.value / spread if spread else None)


def trend(arms: Sequence[Arm], cell: Cell) -> Trend:
    """The mean slope of a question's credit over the place of an arm in `arms`, which ascend in one amount."""
    credits = [arm.credits(cell) for arm in arms]
    slopes = [slope([by_item[item] for by_item in credits]) for item in credits[0]]
    return Trend(mean_interval(slopes), float(stats.ttest_1samp(slopes, 0).pvalue))


def slope(values: Sequence[float]) -> float:
    """Slope of the line of least squares through `values` at 0, 1, 2, ..."""
    middle = (len(values) - 1) / 2
    above = sum((place - middle) * value for place, value in enumerate(values))
    return above / sum((place - middle) ** 2 for place in range(len(values)))


def keep(arms: Sequence[Arm], folder: Path) -> None:
    """Copy what the page is computed from to `folder`, with log-likelihoods to `DIGITS` decimals, compressed."""
    for arm in arms:
        for seed, run in arm.seeds.items():
            here = folder / arm.name / seed
            probes = (f"{PROBE}/{MANIFEST}",) if (run / PROBE / MANIFEST).is_file() else ()
            for file in (SUMMARY, ALONG, *probes):
                (here / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(run / file, here / file)
            lines = "".join(json.dumps(_rounded(line)) + "\n" for line in _answers(run))
            (here / ANSWERS).parent.mkdir(parents=True, exist_ok=True)
            (here / f"{ANSWERS}.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def _answers(folder: Path) -> Iterator[dict[str, Any]]:
    """Answers to questions of a run folder, or of a kept one."""
    if (kept := folder / f"{ANSWERS}.gz").is_file():
        lines: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(kept.read_bytes()).splitlines()]
    else:
        lines = RunFolder(folder).lines(ANSWERS)
    yield from (line for line in lines if line["task"] == "GeoQA")


def _credits(folder: Path) -> dict[Cell, dict[str, float]]:
    credits: defaultdict[Cell, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in _answers(folder):
        credits[line["pair"], line["group"]][line["item"]].append(line["credit"])
    return {cell: {item: fmean(values) for item, values in items.items()} for cell, items in credits.items()}
