"""Measure one Hugging Face folder: cloze, question answering, held-out loss; one JSON file for the report.

evaluation.json:
    cloze     {"WikiTopicCloze" | "WikiSameTopicCloze": {"text->text" | "text->speech" | ...: estimate}}
    geo_qa    {"text->text" | "speech->text": {"written_only" | "spoken": estimate}}
    held_out  {source: {"documents": n, "text" | "speech": estimate and "tokens"}}
    estimate  {"value", "low", "high" (95 % interval), "items"}
items.jsonl holds the scores behind every accuracy, one line per question, so that two models can be compared in pairs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.evaluation.tasks.cloze import ClozeItem, read_cloze, run_cloze
from megatron_speech.evaluation.tasks.geo_qa import Question, read_questions, run_geo_qa
from megatron_speech.evaluation.tasks.held_out import read_held_out, run_held_out
from megatron_speech.evaluation.tasks.likelihood import Request, Scorer
from megatron_speech.inference.model import LanguageModel, read_vocabulary
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.platform.number_format import resolve_dtype
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig) -> None:
    """Write `config.output`/evaluation.json and items.jsonl."""
    inputs = evaluation_inputs(config)
    if is_made(config.output, kind="evaluation", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    # Everything is read before the model is loaded: a defect in the last file must not cost the work on the first.
    items = read_items(config, read_vocabulary(config.model))
    dtype, reason = resolve_dtype(config.dtype, key="dtype", gpu=False)
    logger.info(reason)
    model = LanguageModel.load(config.model, dtype=dtype)
    with make_artifact(config.output, kind="evaluation", config=config, inputs=inputs) as draft:
        results, records = measure(model, items, config)
        results["dtype"] = dtype
        write_atomic(draft.folder / "evaluation.json", to_json(results, indent=1) + "\n")
        write_atomic(draft.folder / "items.jsonl", "".join(to_json(record) + "\n" for record in records))
        draft.facts |= results


def evaluation_inputs(config: EvaluateConfig) -> list[Path]:
    """Everything the result depends on."""
    corpora = [corpus for corpus in (config.cloze, config.geo_qa) if corpus]
    files = [path for corpus in corpora for path in (corpus.texts, corpus.codes)]
    return [config.model, *files, *config.held_out.sources.values()]


@dataclass(frozen=True, kw_only=True)
class Items:
    """What is asked of a model; empty where nothing is."""

    cloze: list[ClozeItem]
    questions: list[Question]
    held_out: dict[str, list[Request]]


def read_items(config: EvaluateConfig, vocabulary: Vocabulary) -> Items:
    """Everything the configuration names, in the ids of `vocabulary`; ValueError names what is wrong with it."""
    return Items(
        cloze=read_cloze(config.cloze, vocabulary) if config.cloze else [],
        questions=read_questions(config.geo_qa, vocabulary) if config.geo_qa else [],
        held_out=read_held_out(config.held_out, vocabulary),
    )


def measure(model: Scorer, items: Items, config: EvaluateConfig) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Results as described above, and the records behind the accuracies."""
    bootstrap = Bootstrap(seed=config.seed, resamples=config.resamples)
    results: dict[str, Any] = {"model": str(config.model)}
    records: list[dict[str, Any]] = []
    if items.cloze:
        results["cloze"], lines = run_cloze(model, items.cloze, bootstrap)
        records += lines
    if items.questions:
        results["geo_qa"], lines = run_geo_qa(model, items.questions, bootstrap)
        records += lines
    results["held_out"] = run_held_out(model, items.held_out, bootstrap)
    return results, records
