"""Loss by modality and source on held-out token documents, in nats per token.

What training scores is scored: tokens from `target_start` on (the target side of recognition and synthesis), the
end-of-document id that packing appends, special ids counted as text. The first token of a document is not, because
nothing predicts it. Intervals resample documents. Price: one forward pass over every document, cut to `max_tokens`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from megatron_speech.config.evaluation import HeldOutConfig
from megatron_speech.data.document import TokenDocument
from megatron_speech.data.shards import read_documents
from megatron_speech.evaluation.likelihood import Request, Scorer
from megatron_speech.evaluation.statistics import Bootstrap


def run_held_out(model: Scorer, config: HeldOutConfig, bootstrap: Bootstrap) -> dict[str, Any]:
    """By source and modality: loss with its interval and the number of tokens; ValueError for foreign shards."""
    results: dict[str, Any] = {}
    for name, folder in config.sources.items():
        documents = itertools.islice(read_documents(folder, vocabulary=model.vocabulary), config.max_documents)
        requests = [
            request for document in documents if (request := scored_request(document, model, config.max_tokens))
        ]
        if not requests:
            raise ValueError(
                f"held_out.sources.{name}={folder}: no document has a token to score within "
                f"held_out.max_tokens={config.max_tokens}; raise it"
            )
        results[name] = {"documents": len(requests), **_losses(model, requests, bootstrap)}
    return results


def scored_request(document: TokenDocument, model: Scorer, max_tokens: int) -> Request | None:
    """Ids given and ids scored; None where the cut leaves nothing to score."""
    tokens = [*document.tokens.tolist(), model.vocabulary.end_of_document][:max_tokens]
    start = max(1, document.target_start)
    return (tokens[:start], tokens[start:]) if start < len(tokens) else None


def _losses(model: Scorer, requests: list[Request], bootstrap: Bootstrap) -> dict[str, Any]:
    first, size = model.vocabulary.first_speech_id, model.vocabulary.size
    sums: dict[str, list[float]] = {"text": [], "speech": []}
    counts: dict[str, list[int]] = {"text": [], "speech": []}
    scores = model.token_log_probabilities(requests, progress=True)
    for (_, scored), log_probabilities in zip(requests, scores, strict=True):
        ids = np.asarray(scored)
        speech = (first <= ids) & (ids < size)
        for modality, chosen in (("text", ~speech), ("speech", speech)):
            if chosen.any():
                sums[modality].append(-float(log_probabilities[chosen].sum()))
                counts[modality].append(int(chosen.sum()))
    return {
        modality: {**bootstrap.ratio(sums[modality], counts[modality]).rounded(), "tokens": sum(counts[modality])}
        for modality in sums
        if counts[modality]
    }
