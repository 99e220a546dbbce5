"""Loss by modality and source on held-out token documents, in nats per token.

It scores the tokens that training scores: those from `target_start` on, and the end-of-document id that packing
appends. Special ids count as text. The first token of a document is not scored, because nothing predicts it.
Intervals resample documents. Limitation: the ids of all documents, each cut to `max_tokens`, are in memory at once.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from megatron_speech.config.stages.evaluate import HeldOutConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, Scorer, ScoringProtocol
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True)
class HeldOutItem:
    """One document, cut to the longest request."""

    source: str
    """Name of its source."""
    request: Request
    speech: np.ndarray
    """Marks the speech ids among the scored ids, bool [n]."""


@dataclass(frozen=True)
class HeldOutTask:
    """The loss on every source of `settings`."""

    settings: HeldOutConfig
    lists_records: ClassVar[bool] = False

    def protocol(self, items: Sequence[HeldOutItem]) -> ScoringProtocol:
        """Says how documents are scored."""
        return ScoringProtocol(template=f"documents of at most {self.settings.max_tokens} ids", score="loss per token")

    @property
    def inputs(self) -> list[Path]:
        """See `EvaluationTask`, as for the methods below."""
        return list(self.settings.sources.values())

    def items(self, vocabulary: Vocabulary) -> list[HeldOutItem]:
        """Documents of all sources.

        Raises ValueError for shards of another vocabulary, and for a source with nothing to score.
        """
        items: list[HeldOutItem] = []
        for name, folder in self.settings.sources.items():
            documents = itertools.islice(read_documents(folder, vocabulary=vocabulary), self.settings.max_documents)
            cut = (scored_request(document, vocabulary, self.settings.max_tokens) for document in documents)
            found = [
                HeldOutItem(name, request, vocabulary.speech_mask(np.asarray(request[1]))) for request in cut if request
            ]
            if not found:
                raise ValueError(
                    f"held_out.sources.{name}={folder}: no document has a token to score within "
                    f"held_out.max_tokens={self.settings.max_tokens}; raise it"
                )
            items += found
        return items

    def requests(self, items: Sequence[HeldOutItem], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Requests grouped by source."""
        for name in self.settings.sources:
            yield name, [item.request for item in items if item.source == name]

    def records(self, items: Sequence[HeldOutItem], answers: Answers) -> list[Record]:
        """One record per document and modality: summed loss (nats) and number of tokens."""
        records: list[Record] = []
        for name, answered in answers.items():
            own = [item for item in items if item.source == name]
            for item, log_probabilities in zip(own, answered, strict=True):
                for modality, chosen in (("text", ~item.speech), ("speech", item.speech)):
                    if chosen.any():
                        loss, tokens = -float(log_probabilities[chosen].sum()), int(chosen.sum())
                        records.append({"source": name, "modality": modality, "loss": loss, "tokens": tokens})
        return records

    def results(self, items: Sequence[HeldOutItem], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Loss with interval and number of tokens, by source and modality."""
        losses: defaultdict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        for record in records:
            losses[record["source"], record["modality"]].append((record["loss"], record["tokens"]))
        results: dict[str, Any] = {}
        for name in self.settings.sources:
            results[name] = {"documents": sum(item.source == name for item in items)}
            for modality in ("text", "speech"):
                if pairs := losses.get((name, modality)):
                    sums, counts = zip(*pairs, strict=True)
                    results[name][modality] = {
                        **bootstrap.ratio(sums, counts).rounded().to_json(),
                        "tokens": sum(counts),
                    }
        return results


def scored_request(document: TokenDocument, vocabulary: Vocabulary, max_tokens: int) -> Request | None:
    """The document cut to `max_tokens` ids, as context ids and scored ids; None if no id is left to score."""
    tokens = [*document.tokens.tolist(), vocabulary.end_of_document][:max_tokens]
    start = max(1, document.target_start)
    return (tokens[:start], tokens[start:]) if start < len(tokens) else None
