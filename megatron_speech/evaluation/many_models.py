"""Evaluates many models, such as all checkpoints of a run, task by task: what is done is skipped.

    <output>/<model>/<task>/    evaluation.json, items.jsonl, protocol.json, as `evaluate` writes them for one model

Each of these folders is an artifact of its own, complete or absent. So a killed job loses one task at most, array jobs
divide models x tasks among them, and a list may grow by models or tasks. A folder counts as done if its protocol and
its weights are those that the settings give now; paths may differ. Any other folder is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.artifacts.plain_json import first_difference
from megatron_speech.config.stages.evaluate import EvaluateConfig, HeldOutConfig
from megatron_speech.evaluation import protocol
from megatron_speech.evaluation.evaluated_model import EvaluatedModel, models_at
from megatron_speech.evaluation.harness import identities, identity_of, protocols_of, read_items, write_evaluation
from megatron_speech.evaluation.tasks.table import asked_tasks
from megatron_speech.inference.model import LanguageModel
from megatron_speech.platform.number_format import Dtype

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One task of one model."""

    model: EvaluatedModel
    task: str
    config: EvaluateConfig
    """Settings of an evaluation of this model by this task alone."""

    @property
    def output(self) -> Path:
        """Its folder."""
        return self.config.output


def parts_of(config: EvaluateConfig) -> list[Part]:
    """All parts, model by model. Raises ValueError for a model or a task that cannot be evaluated."""
    return [
        Part(model=model, task=task, config=_alone(config, model, task))
        for model in models_at(config.models, config.vocabulary)
        for task in asked_tasks(config)
        if task != "held_out" or config.held_out.sources
    ]


def evaluate_models(config: EvaluateConfig) -> None:
    """Score all parts, or those of the job `config.run`; with `part: finish`, only require that none is missing.

    Raises ValueError for a part that was scored otherwise, and for one that is missing at the end.
    """
    parts, run = parts_of(config), config.run
    if run.part in ("all", "tasks"):
        first, end = (job * len(parts) // run.jobs for job in (run.job, run.job + 1))
        shared = _Shared()
        for number, part in enumerate(parts[first:end], start=1):
            logger.info("%s, %s (%d of %d)", part.model.name, part.task, number, end - first)
            with alone(part.output):
                _score(part, shared)
    missing = [part.output for part in parts if not (part.output / MANIFEST).is_file()]
    if missing and run.part != "tasks":
        raise ValueError(f"{missing[0]} and {len(missing) - 1} more are not made; run the same command again")


def results_by_model(config: EvaluateConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """(model, results of all its tasks) of everything that is made."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts_of(config):
        if (part.output / MANIFEST).is_file():
            results = read_json(part.output / "evaluation.json")
            found.setdefault(part.model.name, {})[part.task] = results[part.task]
    yield from found.items()


@dataclass
class _Shared:
    """What parts that follow each other have in common: items of each task, and the loaded model."""

    items: dict[tuple[str, str], Any] = field(default_factory=dict)
    loaded: tuple[EvaluatedModel, LanguageModel, Dtype] | None = None

    def items_of(self, part: Part) -> dict[str, Any]:
        vocabulary = part.model.vocabulary()
        key = (part.task, vocabulary.fingerprint)
        if key not in self.items:
            self.items[key] = read_items(part.config, vocabulary)
        found: dict[str, Any] = self.items[key]
        return found

    def model_of(self, part: Part) -> tuple[LanguageModel, Dtype]:
        if self.loaded is None or self.loaded[0] != part.model:
            self.loaded = None  # frees the memory of the model before
            config = part.config
            model, dtype = part.model.load(dtype=config.dtype, device=config.device, beside=part.output)
            self.loaded = part.model, model, dtype
        return self.loaded[1:]


def _score(part: Part, shared: _Shared) -> None:
    items = shared.items_of(part)
    config = part.config
    if part.output.exists():
        _require_same(part, protocols_of(config, items, part.model.dtype(config.dtype, device=config.device)))
        logger.info("%s: already done", part.output)
        return
    model, dtype = shared.model_of(part)
    write_evaluation(config, part.model, (model, dtype), items, trained=part.model.trained())


def _require_same(part: Part, protocols: dict[str, dict[str, Any]]) -> None:
    """Raise ValueError unless `part` was scored by these protocols, with the weights of its model."""
    otherwise = "remove it to score the model again, or choose another output"
    if not (part.output / protocol.FILE).is_file():
        raise ValueError(f"{part.output} is in the way: it is no evaluation by task; move it, or choose another output")
    theirs = read_json(part.output / protocol.FILE).get(part.task, {})
    if changes := protocol.differences(theirs, protocols[part.task]):
        raise ValueError(f"{part.output} was scored by another protocol ({', '.join(changes.values())}); {otherwise}")
    made = read_manifest(part.output)
    weights = part.model.inputs[0]
    if identities([weights])[str(weights)] not in (made.inputs or {}).values():
        raise ValueError(f"{part.output} scores other weights than those of {part.model.folder} now; {otherwise}")
    before, now = (_numbers(each, part.task) for each in (made.config, identity_of(part.config)))
    if before != now:
        raise ValueError(f"{part.output} was made with {first_difference(before, now)}; {otherwise}")


def _numbers(config: dict[str, Any], task: str) -> dict[str, Any]:
    """Settings that a protocol does not tell: of the intervals, and how many items of a section are taken."""
    section = config.get(task) or {}
    limits = {key: value for key, value in section.items() if not isinstance(value, str | dict)}
    return {"resamples": config["resamples"], "seed": config["seed"], **limits}


def _alone(config: EvaluateConfig, model: EvaluatedModel, task: str) -> EvaluateConfig:
    """Settings of one model and one task."""
    return replace(
        config,
        model=model.folder,
        models=[],
        output=config.output / model.name / task,
        vocabulary=model.vocabulary_folder,
        cloze=config.cloze if task == "cloze" else None,
        geo_qa=config.geo_qa if task == "geo_qa" else None,
        held_out=config.held_out if task == "held_out" else HeldOutConfig(),
        tasks={task: config.tasks[task]} if task in config.tasks else {},
        run=replace(config.run, part="all", job=0, jobs=1),
    )
