"""Evaluates a model, exported or a checkpoint, by evaluation tasks.

evaluation.json, which reports read:
    <task>    the task's `results`, such as
    cloze     {"WikiTopicCloze" | "WikiSameTopicCloze": {"text->text" | "text->speech" | ...: estimate}}
    geo_qa    {"text->text" | "speech->text": {"written_only" | "spoken": estimate}}
    held_out  {source: {"documents": n, "text" | "speech": estimate and "tokens"}}
    estimate  {"value", "low", "high" (95 % interval), "items"}
    trained   {"step", "tokens": {modality: targets}}: of a checkpoint, and of all in a list of models
items.jsonl holds what is behind every accuracy and error rate, one line per answer, which names its evaluation task:
paired comparisons of two models need them.
protocol.json says what the scores of each task depend on besides the model (`evaluation/protocol.py`).
A killed evaluation goes on after its last finished group of requests (`evaluation/kept_answers.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.evaluation import EvaluationResults
from megatron_speech.artifacts.files import fingerprint, write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, input_ids, is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.evaluation import protocol
from megatron_speech.evaluation.evaluated_model import EvaluatedModel, model_at
from megatron_speech.evaluation.kept_answers import KeptAnswers
from megatron_speech.evaluation.tasks.generation import write_answers
from megatron_speech.evaluation.tasks.interface import (
    EVALUATION_TASK,
    EvaluationTask,
    GenerationTask,
    Item,
    Record,
    Request,
    Written,
)
from megatron_speech.evaluation.tasks.table import asked_tasks
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.power import DISCORDANT, smallest_difference
from megatron_speech.progress import Progress
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig) -> None:
    """Write `config.output`/evaluation.json, items.jsonl and protocol.json."""
    assert config.model is not None, "a list is for evaluate_models"
    subject = model_at(config.model, config.vocabulary)
    paths = inputs_of(config, subject)
    identity = identity_of(config)
    # Items are checked before their files are read for the identity, except where there is an output to compare with.
    known = identities(paths) if config.output.exists() else paths
    if is_made(config.output, kind="evaluation", config=identity, inputs=known):
        logger.info("%s: already done", config.output)
        return
    # All items are read before the model is loaded, so that a defective file is found before any is scored.
    items = read_items(config, subject.vocabulary())
    for line in power_table(
        {name: len(items[name]) for name, task in asked_tasks(config).items() if task.protocol(items[name]).chance}
    ):
        logger.info("%s", line)
    loaded = subject.load(dtype=config.dtype, device=config.device, beside=config.output)
    write_evaluation(config, subject, loaded, items, trained=subject.trained() if subject.is_checkpoint else None)


def inputs_of(config: EvaluateConfig, subject: EvaluatedModel) -> list[Path]:
    """Files and artifacts that the scores depend on."""
    return [*subject.inputs, *(path for task in asked_tasks(config).values() for path in task.inputs)]


def write_evaluation(
    config: EvaluateConfig,
    subject: EvaluatedModel,
    loaded: tuple[LanguageModel, str],
    items: Mapping[str, Sequence[Any]],
    *,
    trained: Mapping[str, Any] | None,
) -> None:
    """Make `config.output` from the `items` of all tasks. `trained` is noted where it is known."""
    inputs, (model, dtype) = identities(inputs_of(config, subject)), loaded
    protocols = protocols_of(config, items, dtype)
    with make_artifact(config.output, kind="evaluation", config=identity_of(config), inputs=inputs) as draft:
        kept = KeptAnswers.of(draft.folder, protocols)
        results, records = measure(model, items, config, kept=kept)
        results["dtype"] = dtype
        if trained is not None:
            results["trained"] = trained
        write_atomic(draft.folder / "evaluation.json", to_json(results, indent=1) + "\n")
        write_atomic(draft.folder / "items.jsonl", "".join(to_json(record) + "\n" for record in records))
        write_atomic(draft.folder / protocol.FILE, to_json(protocols, indent=1) + "\n")
        kept.remove()
        draft.facts = EvaluationResults(by_task=results)


def identities(paths: Sequence[Path]) -> dict[str, str]:
    """Identity of each input; of a folder that no stage made, by the names, sizes and times of its files."""
    foreign = [path for path in paths if path.is_dir() and not (path / MANIFEST).is_file()]
    known = input_ids([path for path in paths if path not in foreign])
    for folder in foreign:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        glances = ((str(path.relative_to(folder)), f"{(of := path.stat()).st_size} {of.st_mtime_ns}") for path in files)
        known[str(folder)] = fingerprint(list(glances))
    return known


def identity_of(config: EvaluateConfig) -> dict[str, Any]:
    """The identity that the manifest records: `config` without jobs, the device "cpu", and what is empty."""
    identity: dict[str, Any] = to_dict(config)
    del identity["models"], identity["run"]
    if config.vocabulary is None:
        del identity["vocabulary"]
    if not config.tasks:
        del identity["tasks"]
    if config.device == "cpu":
        del identity["device"]
    return identity


def protocols_of(config: EvaluateConfig, items: Mapping[str, Sequence[Any]], dtype: str) -> dict[str, dict[str, Any]]:
    """Protocol of every task that `config` asks for, by name."""
    return {
        name: protocol.protocol_record(task.protocol(items[name]), inputs=task.inputs, dtype=dtype, task=type(task))
        for name, task in asked_tasks(config).items()
    }


def power_table(items: Mapping[str, int]) -> Iterator[str]:
    """Lines that tell, before a run, what a comparison of two models on so many items by task will be able to see."""
    for name, count in items.items():
        seen = (f"{100 * smallest_difference(count, discordant=share):.1f}" for share in DISCORDANT)
        similar, different = (f"{share:.0%}" for share in DISCORDANT)
        yield (
            f"{name}: {count} items; two models are told apart (80 % power) from {next(seen)} points if {similar} of "
            f"their answers differ, from {next(seen)} if {different} do"
        )


def read_items(config: EvaluateConfig, vocabulary: Vocabulary) -> dict[str, Sequence[Any]]:
    """Items by task, for every task that `config` asks for. Raises ValueError that names a defective file."""
    return {name: task.items(vocabulary) for name, task in asked_tasks(config).items()}


def measure(
    model: LanguageModel,
    items: Mapping[str, Sequence[Any]],
    config: EvaluateConfig,
    *,
    kept: KeptAnswers | None = None,
) -> tuple[dict[str, Any], list[Record]]:
    """Results for evaluation.json by task, and records for items.jsonl."""
    bootstrap = Bootstrap(seed=config.seed, resamples=config.resamples)
    results: dict[str, Any] = {"model": str(config.model)}
    listed: list[Record] = []
    for name, task in asked_tasks(config).items():
        results[name], records = run_task(model, task, items[name], bootstrap, name=name, kept=kept)
        listed += [{EVALUATION_TASK: name, **record} for record in records] if task.lists_records else []
    return results, listed


def run_task(
    model: LanguageModel,
    task: EvaluationTask[Item] | GenerationTask[Item],
    items: Sequence[Item],
    bootstrap: Bootstrap,
    *,
    name: str,
    kept: KeptAnswers | None = None,
) -> tuple[dict[str, Any], list[Record]]:
    """Asks `model` what the task called `name` asks, except what is `kept`; returns its results and records."""
    about = f"evaluate {name}"
    if isinstance(task, GenerationTask):
        written: dict[str, list[Written]] = {}
        for number, (group, prompts) in enumerate(task.prompts(items, model)):
            write = partial(write_answers, model, prompts, batch_size=task.batch_size, progress=f"{about}: {group}")
            written[group] = kept.written(name, number, write) if kept else write()
        records = task.records(items, written, model)
    else:
        answers: dict[str, list[np.ndarray]] = {}
        for number, (group, requests) in enumerate(task.requests(items, model)):
            score = partial(_scored, model, requests, f"{about}: {group}")
            answers[group] = kept.scores(name, number, score) if kept else score()
        records = task.records(items, answers)
    with Progress(f"{about}: intervals", late=True):
        return task.results(items, records, bootstrap), records


def _scored(model: LanguageModel, requests: Sequence[Request], about: str) -> list[np.ndarray]:
    """Log-probabilities (nats) of the scored ids of each request; ValueError if one is not finite."""
    answers = list(model.token_log_probabilities(requests, progress=about))
    odd = next((value for each in answers for value in each if not np.isfinite(value)), None)
    if odd is not None:
        raise ValueError(
            f"{about}: a log-probability is {odd}; the weights are damaged, or too large for dtype; try dtype=float32"
        )
    return answers
