"""Loss by modality and source on held-out token documents, in nats per token.

What training scores is scored: tokens from `target_start` on (the target side of recognition and synthesis), the
end-of-document id that packing appends, special ids counted as text. The first token of a document is not, because
nothing predicts it. Intervals resample documents. Price: one forward pass over every document, cut to `max_tokens`,
whose ids all wait in memory.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from megatron_speech.config.stages.evaluate import HeldOutConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.tasks.likelihood import Request, Scorer
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.vocabulary import Vocabulary


def read_held_out(config: HeldOutConfig, vocabulary: Vocabulary) -> dict[str, list[Request]]:
    """What is scored of every source; ValueError for foreign shards and for a source with nothing to score."""
    requests: dict[str, list[Request]] = {}
    for name, folder in config.sources.items():
        documents = itertools.islice(read_documents(folder, vocabulary=vocabulary), config.max_documents)
        cut = (scored_request(document, vocabulary, config.max_tokens) for document in documents)
        requests[name] = [request for request in cut if request]
        if not requests[name]:
            raise ValueError(
                f"held_out.sources.{name}={folder}: no document has a token to score within "
                f"held_out.max_tokens={config.max_tokens}; raise it"
            )
    return requests


def run_held_out(model: Scorer, sources: dict[str, list[Request]], bootstrap: Bootstrap) -> dict[str, Any]:
    """By source and modality: loss with its interval and the number of tokens."""
    return {
        name: {"documents": len(requests), **_losses(model, requests, bootstrap)} for name, requests in sources.items()
    }


def scored_request(document: TokenDocument, vocabulary: Vocabulary, max_tokens: int) -> Request | None:
    """Ids given and ids scored; None where the cut leaves nothing to score."""
    tokens = [*document.tokens.tolist(), vocabulary.end_of_document][:max_tokens]
    start = max(1, document.target_start)
    return (tokens[:start], tokens[start:]) if start < len(tokens) else None


def _losses(model: Scorer, requests: list[Request], bootstrap: Bootstrap) -> dict[str, Any]:
    sums: dict[str, list[float]] = {"text": [], "speech": []}
    counts: dict[str, list[int]] = {"text": [], "speech": []}
    scores = model.token_log_probabilities(requests, progress=True)
    for (_, scored), log_probabilities in zip(requests, scores, strict=True):
        speech = model.vocabulary.speech_mask(np.asarray(scored))
        for modality, chosen in (("text", ~speech), ("speech", speech)):
            if chosen.any():
                sums[modality].append(-float(log_probabilities[chosen].sum()))
                counts[modality].append(int(chosen.sum()))
    return {
        modality: {**bootstrap.ratio(sums[modality], counts[modality]).rounded(), "tokens": sum(counts[modality])}
        for modality in sums
        if counts[modality]
    }
