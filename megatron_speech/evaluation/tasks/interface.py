"""The interface of evaluation tasks: items become requests, answers become records, records become results.

    items(vocabulary)  ->  requests(items, model)  ->  records(items, answers)  ->  results(items, records, bootstrap)
                                  |                              ^
                                  +--- the harness asks the model, group by group

The harness reads the items of all tasks before it loads the model, so that a defective file is found at the start.
A `GenerationTask` has prompts instead of requests, and its answers are what the model writes or says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from megatron_speech.artifacts.facts.record import Record as Facts
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

if TYPE_CHECKING:  # comparisons of finished evaluations need no torch
    from megatron_speech.inference.slot import AnswerSettings

BY_WHISPER = "by Whisper"
"""Ending of a modality pair whose speech Whisper read, beside the recogniser of the speech tokenizer."""

Item = TypeVar("Item")
Request = tuple[list[int], list[int]]
"""Context ids, at least one, and scored ids."""
Answers = Mapping[str, Sequence[np.ndarray]]
"""Answers by group of requests: the log-probability (nats) of each scored id, float64 [n] per request."""
Prompt = tuple[list[int], "AnswerSettings"]
"""Ids to continue, and how."""
Record = dict[str, Any]
"""The model's answer to one question or document, as plain JSON."""
EVALUATION_TASK = "evaluation_task"
"""Key of a line of items.jsonl for the name of the evaluation task that made the record."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a model wrote or said after a prompt."""

    tokens: tuple[int, ...]
    """Its ids, without the stop id."""
    reason: str
    """Why it ended: ``stop``, ``length``, or ``too long`` if prompt and answer do not fit into the model."""


def by_whisper(pair: str) -> str:
    """Name of a modality pair, whose speech the recogniser read, as Whisper reads it."""
    return f"{pair} {BY_WHISPER}"


class Scorer(Protocol):
    """A model that evaluation tasks can ask; `inference.model.LanguageModel` is one."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of the model's text ids."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of the model's ids."""

    def token_log_probabilities(
        self, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, progress: str | None = None
    ) -> list[np.ndarray]:
        """Log-probabilities (nats) of the scored ids of each request, float64 [n], in the order of `requests`.

        `progress` says what is done, to be shown; None shows nothing.
        """


@dataclass(frozen=True, kw_only=True)
class ScoringProtocol(Facts):
    """What a task says of itself; what does not apply is absent."""

    chance: dict[str, float] = field(default_factory=dict)
    """Accuracy of guessing, by the `task` of its records."""
    template: str
    """How a question and its answer are laid out."""
    score: str
    """The number that decides, such as `log-likelihood per token`."""
    prompt: str | None = None
    """Hash of the bytes of the prompt."""
    decoding: str | None = None
    """How answers are generated."""
    matcher: str | None = None
    """Name in `RULES` of `metrics/answer_matching.py`."""
    normalizer: str | None = None
    """Name in `NORMALIZERS`."""
    recognizer: str | None = None
    """What reads spoken answers."""
    sound: str | None = None
    """What makes sound of spoken answers, and rates it."""


class Measurement(Protocol[Item]):
    """What all evaluation tasks have."""

    @property
    def inputs(self) -> Sequence[Path]:
        """Files and artifacts that the results depend on."""

    @property
    def lists_records(self) -> bool:
        """Whether its records are written to items.jsonl."""

    def protocol(self, items: Sequence[Item]) -> ScoringProtocol:
        """What its scores depend on besides the model, its input files and the code."""

    def items(self, vocabulary: Vocabulary) -> Sequence[Item]:
        """Reads the items, for a model with this `vocabulary`. Raises ValueError that names a defective file."""

    def results(self, items: Sequence[Item], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Estimates from all records, for evaluation.json."""


class EvaluationTask(Measurement[Item], Protocol[Item]):
    """One measurement of a model, by likelihood."""

    def requests(self, items: Sequence[Item], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Yields (group name, requests of the group); the requests of a group are scored together."""

    def records(self, items: Sequence[Item], answers: Answers) -> list[Record]:
        """Turns answers into records of the items."""


@runtime_checkable
class GenerationTask(Measurement[Item], Protocol[Item]):
    """One measurement of a model, by what it writes or says."""

    @property
    def batch_size(self) -> int:
        """How many answers are written at a time; no answer depends on it."""

    def prompts(self, items: Sequence[Item], model: Scorer) -> Iterator[tuple[str, list[Prompt]]]:
        """Yields (group name, prompts of the group); the prompts of a group are answered together."""

    def records(self, items: Sequence[Item], answers: Mapping[str, Sequence[Written]], model: Scorer) -> list[Record]:
        """Turns answers by group into records of the items."""
