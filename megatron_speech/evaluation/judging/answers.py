"""The answers of finished evaluations, as a judge is asked about them: one, or two to the same question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import read_json
from megatron_speech.config.inspection.judge import JudgeConfig
from megatron_speech.corpus.compressed_lines import open_lines
from megatron_speech.evaluation.comparison.evaluations import ITEMS, read_evaluation, require_equal_protocols
from megatron_speech.evaluation.judging.prompts import JudgePrompt
from megatron_speech.evaluation.protocol import FILE
from megatron_speech.evaluation.tasks.interface import EVALUATION_TASK, Record

TASK = "questions"
"""The evaluation task whose answers can be judged."""
Place = tuple[str, str, str]
"""Data set, way of asking and item."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a judge decides on."""

    record: Record
    """The answer, from items.jsonl."""
    other: Record | None = None
    """The answer that it is compared with."""

    @property
    def reason(self) -> str | None:
        """Why there is nothing to judge."""
        own = self.record["reason"]
        reason: str | None = own if self.other is None else own or self.other["reason"]
        return reason

    @property
    def settled(self) -> float:
        """The credit where there is nothing to judge: in a comparison, an answer wins against none."""
        if self.other is None:
            return 0.0
        return 0.5 * (1 + bool(self.other["reason"]) - bool(self.record["reason"]))

    def orders(self) -> list[dict[str, str]]:
        """Values for the fields of a prompt, for each order in which the judge is asked."""
        shared = {name: _text(self.record, name) for name in ("question", "accepted")}
        if self.other is None:
            return [{**shared, "answer": self.record["answer"]}]
        both = self.record["answer"], self.other["answer"]
        return [{**shared, "first": first, "second": second} for first, second in (both, both[::-1])]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All answers that a prompt can judge."""

    cases: list[Case]
    unfit: dict[str, int]
    """How many items of each data set lack what the prompt needs to know, whatever the model says."""
    protocol: Mapping[str, Any]
    """How they were generated."""


def read_answers(config: JudgeConfig, prompt: JudgePrompt) -> Answers:
    """The answers of `config.evaluation`, and of `config.against` beside them.

    Raises ValueError if there are none, or if the two differ in protocol or items.
    """
    if prompt.compares != (config.against is not None):
        fault = "compares two evaluations; name against" if prompt.compares else "judges one answer; leave against out"
        raise ValueError(f"prompt={config.prompt}: {fault}, or choose another prompt")
    records, others = _records(config.evaluation, "evaluation"), None
    if config.against is not None:
        others = _records(config.against, "against")
        _require_comparable(config, config.against, records, others)
    needed = [name for name in ("question", "accepted") if name in prompt.fields]
    fit = {place: record for place, record in records.items() if all(_text(record, name) for name in needed)}
    if not fit:
        known = {"question": "a written question", "accepted": "an accepted answer"}
        lacking = " and ".join(known[name] for name in needed)
        raise ValueError(f"prompt={config.prompt}: no item of {config.evaluation} has {lacking}; choose another prompt")
    return Answers(
        cases=[Case(record=record, other=others[place] if others else None) for place, record in fit.items()],
        unfit=dict(Counter(task for task, *_ in records.keys() - fit.keys())),
        protocol=read_json(config.evaluation / FILE)[TASK],
    )


def _records(folder: Path, key: str) -> dict[Place, Record]:
    """Records of answers by what was asked."""
    with open_lines(folder / ITEMS) as lines:
        answers = (each for each in map(json.loads, lines) if each.get(EVALUATION_TASK) == TASK and "question" in each)
        found = {_place(record): record for record in answers}
    if not found or TASK not in read_json(folder / FILE):
        raise ValueError(
            f"{key}={folder}: holds no answers to questions; evaluate with tasks.{TASK} (again, if it is older)"
        )
    return found


def _require_comparable(
    config: JudgeConfig, against: Path, records: Mapping[Place, Record], others: Mapping[Place, Record]
) -> None:
    require_equal_protocols(read_evaluation(config.evaluation), read_evaluation(against), accept=config.accept)
    if unlike := records.keys() ^ others.keys():
        raise ValueError(
            f"{config.evaluation} and {against}: {len(unlike)} answers are in one of them only, such as to "
            f"{min(unlike)[-1]!r}; evaluate both on the same items"
        )


def _place(record: Record) -> Place:
    return str(record["task"]), str(record["pair"]), str(record["item"])


def _text(record: Record, name: str) -> str:
    value = record.get(name) or ""
    return value if isinstance(value, str) else "; ".join(value)
