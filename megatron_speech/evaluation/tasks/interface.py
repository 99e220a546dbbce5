"""The interface of evaluation tasks: items become requests, answers become records, records become results.

    items(vocabulary)  ->  requests(items, model)  ->  records(items, answers)  ->  results(items, records, bootstrap)
                                  |                              ^
                                  +--- the harness asks the model, group by group

The harness reads the items of all tasks before it loads the model, so that a defect in the last file does not cost the
work on the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

Item = TypeVar("Item")
Request = tuple[list[int], list[int]]
"""Ids that are given, and ids that are scored; neither is empty."""
Answers = Mapping[str, Sequence[np.ndarray]]
"""By group of requests: for each request, the log-probability (nats) of every scored id, float64 [n]."""
Record = dict[str, Any]
"""What the model answered in one case; plain JSON."""


class Scorer(Protocol):
    """A model as evaluation sees it; `inference.model.LanguageModel` is one."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer of the model's text ids."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What the model's ids mean."""

    def token_log_probabilities(
        self, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, progress: bool = False
    ) -> list[np.ndarray]:
        """Log-probability (nats) of every continuation token of each request, float64 [n], in order."""


class EvaluationTask(Protocol[Item]):
    """One measurement of a model."""

    @property
    def inputs(self) -> Sequence[Path]:
        """Files and artifacts that the results depend on."""

    @property
    def lists_records(self) -> bool:
        """Whether its records are written to items.jsonl."""

    def items(self, vocabulary: Vocabulary) -> Sequence[Item]:
        """What is asked, in the ids of `vocabulary`; ValueError names a defect of the files."""

    def requests(self, items: Sequence[Item], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Requests by the name of their group; the requests of one group are scored together."""

    def records(self, items: Sequence[Item], answers: Answers) -> list[Record]:
        """What the answers say about every item."""

    def results(self, items: Sequence[Item], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Estimates from all records, for evaluation.json."""
