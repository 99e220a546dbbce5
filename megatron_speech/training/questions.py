"""Asks a model in training what evaluation tasks ask, at every validation, in any layout.

The tasks lie in a room above. So the caller of a training gives a function that reads them, and the first rank alone
has their items. All ranks have the requests, score them together, and train on as if they had not: scoring draws no
random numbers and keeps no gradient.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from megatron_speech.config.run.evaluation import TrainingEvaluationConfig
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.parallel.agree import on_rank_zero
from megatron_speech.training.likelihood import Request, token_log_probabilities
from megatron_speech.training.step import ParallelModel
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

Requests = Mapping[str, Mapping[str, Sequence[Request]]]
"""What is scored, by task and group."""
Scored = Mapping[str, Mapping[str, Sequence[np.ndarray]]]
"""Log-probabilities (nats) of the scored ids of each request, by task and group."""


class AskedTasks(Protocol):
    """Evaluation tasks by likelihood with their items, such as `evaluation.during_training.AskedTasks`."""

    @property
    def requests(self) -> Requests:
        """What the model is asked."""

    def results(self, scored: Scored) -> dict[str, Any]:
        """Results by task as in evaluation.json, from the answers to `requests`."""


ReadTasks = Callable[[TrainingEvaluationConfig, Vocabulary], AskedTasks]
"""Reads the tasks of the setting `evaluation`. Raises FileNotFoundError or ValueError for what cannot be asked."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What a run asks its model."""

    requests: Requests
    tasks: AskedTasks | None
    """On rank 0."""
    tokens_per_batch: int
    """Tokens of a micro-batch: as many as training puts through the model."""

    @classmethod
    def read(cls, config: PretrainConfig, vocabulary: Vocabulary, read_tasks: ReadTasks | None) -> Questions | None:
        """What `config.evaluation` asks; None if it is not set. Collective.

        Raises as `read_tasks`, on all ranks.
        """
        if config.evaluation is None:
            return None
        tasks: list[AskedTasks] = []

        def read() -> Requests:
            tasks.append(tasks_of(config, vocabulary, read_tasks))
            return tasks[0].requests

        requests = on_rank_zero(read)
        for line in in_words(requests):
            logger.info("%s", line)
        return cls(
            requests=requests,
            tasks=tasks[0] if tasks else None,
            tokens_per_batch=config.train.micro_batch_size * config.data.seq_length,
        )

    def ask(self, model: ParallelModel) -> dict[str, Any]:
        """Results by task on rank 0, an empty dictionary elsewhere; FloatingPointError on all ranks. Collective."""
        scored: dict[str, dict[str, list[np.ndarray]]] = {}
        for task, groups in self.requests.items():
            scored[task] = {
                group: token_log_probabilities(model, requests, tokens_per_batch=self.tokens_per_batch)
                for group, requests in groups.items()
            }
            if not all(np.isfinite(each).all() for group in scored[task].values() for each in group):
                raise FloatingPointError(f"a log-probability of evaluation.{task} is not finite")
        return self.tasks.results(scored) if self.tasks else {}


def tasks_of(config: PretrainConfig, vocabulary: Vocabulary, read_tasks: ReadTasks | None) -> AskedTasks:
    """The tasks of `config.evaluation`; ValueError also for a request that is longer than a row of training."""
    assert config.evaluation is not None and read_tasks is not None, "who sets evaluation also gives read_tasks"
    tasks = read_tasks(config.evaluation, vocabulary)
    for task, groups in tasks.requests.items():
        lengths = (len(context) + len(scored) for requests in groups.values() for context, scored in requests)
        longest = max(lengths, default=0)
        if longest > config.data.seq_length + 1:
            raise ValueError(
                f"evaluation.{task}: an item has {longest} tokens, data.seq_length={config.data.seq_length} reads "
                "fewer; leave the item out, or evaluate the export"
            )
    return tasks


def in_words(requests: Requests) -> list[str]:
    """What is asked: a line per task."""
    return [
        f"evaluation task {task}: {sum(map(len, groups.values()))} continuations are scored at every validation"
        for task, groups in requests.items()
    ]
