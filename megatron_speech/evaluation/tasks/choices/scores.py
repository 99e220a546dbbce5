"""Records of choices with the log-probabilities of all tokens, and accuracies by every score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from megatron_speech.evaluation.tasks.choices.items import EncodedChoice, Pair
from megatron_speech.evaluation.tasks.credits import credit_estimate, credits_by_subset
from megatron_speech.evaluation.tasks.interface import Record
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.likelihood_scores import SCORES, CandidateScores, credit_of

DECIMALS = 7
"""Of log-probabilities in records."""


def answered_choice(
    item: EncodedChoice,
    pair: Pair,
    scored: Iterator[np.ndarray],
    contexts: Iterator[np.ndarray],
    alone: Iterator[np.ndarray],
) -> Record:
    """What the model says of an item: log-probabilities, with the sizes of its candidates."""
    return {
        "right": item.right,
        "context": _rounded(next(contexts)) if item.context else [],
        "candidates": [
            {
                "tokens": _rounded(next(scored)),
                "alone": _rounded(next(alone)) if item.context else None,
                **item.sizes(place, pair[1]),
            }
            for place in range(len(item.candidates))
        ],
    }


def credit_of_record(record: Record, score: str) -> float | None:
    """Credit of a record of `ChoicesTask` by any score; None if it has not what the score needs."""
    if "reason" in record:
        return 0.0
    candidates = [CandidateScores(context=record["context"], **candidate) for candidate in record["candidates"]]
    return credit_of(candidates, record["right"], score)


def accuracies(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
    """Accuracy of every score that is known for all records, and of every subset."""
    found: dict[str, Any] = {}
    for score in SCORES:
        credits = [credit_of_record(record, score) for record in records]
        known = [credit for credit in credits if credit is not None]
        if len(known) == len(credits):
            found[score] = credit_estimate(known, bootstrap)
    return found | credits_by_subset(records, bootstrap)


def _rounded(log_probabilities: np.ndarray) -> list[float]:
    return [round(float(value), DECIMALS) for value in log_probabilities]
