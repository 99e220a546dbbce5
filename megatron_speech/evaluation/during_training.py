"""Evaluation tasks by likelihood for a model in training: the same items, layouts and scores as `evaluate`.

The training scores the requests in its own layout (`training.questions`), and gets results as in evaluation.json. This
room does not know training: commands join the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megatron_speech.config.run.evaluation import TrainingEvaluationConfig
from megatron_speech.evaluation.tasks.interface import EvaluationTask, GenerationTask, Request
from megatron_speech.evaluation.tasks.table import asked_tasks
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True)
class Encoder:
    """Lays out requests, and can score none."""

    tokenizer: TextTokenizer
    vocabulary: Vocabulary

    def token_log_probabilities(
        self, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, progress: str | None = None
    ) -> list[np.ndarray]:
        """Raises AssertionError."""
        raise AssertionError("the model in training scores")


@dataclass(frozen=True, kw_only=True)
class AskedTasks:
    """Tasks with their items and requests."""

    tasks: Mapping[str, EvaluationTask[Any]]
    items: Mapping[str, Sequence[Any]]
    requests: Mapping[str, Mapping[str, Sequence[Request]]]
    """By task and group."""
    bootstrap: Bootstrap

    def results(self, scored: Mapping[str, Mapping[str, Sequence[np.ndarray]]]) -> dict[str, Any]:
        """Results by task as in evaluation.json, from the log-probabilities of `requests`."""
        found = {}
        for name, task in self.tasks.items():
            records = task.records(self.items[name], scored[name])
            found[name] = task.results(self.items[name], records, self.bootstrap)
        return found


def read_tasks(config: TrainingEvaluationConfig, vocabulary: Vocabulary) -> AskedTasks:
    """Read the tasks of `config` for a training with this `vocabulary`.

    Raises ValueError for a task that lets the model write, and FileNotFoundError or ValueError that names a defective
    file or setting.
    """
    vocabulary.require(
        Vocabulary.load(config.vocabulary).fingerprint, holder=f"evaluation.vocabulary={config.vocabulary}"
    )
    try:
        asked = asked_tasks(config)
    except ValueError as error:
        raise ValueError(f"evaluation.{error}") from error
    tasks: dict[str, EvaluationTask[Any]] = {}
    for name, task in asked.items():
        if isinstance(task, GenerationTask):
            raise ValueError(
                f"evaluation.tasks.{name}: a model in training scores and does not write; evaluate its export instead"
            )
        tasks[name] = task
    encoder = Encoder(TextTokenizer.load(config.vocabulary), vocabulary)
    items = {name: task.items(vocabulary) for name, task in tasks.items()}
    return AskedTasks(
        tasks=tasks,
        items=items,
        requests={name: dict(task.requests(items[name], encoder)) for name, task in tasks.items()},
        bootstrap=Bootstrap(seed=config.seed, resamples=config.resamples),
    )
