"""Accuracies of evaluation tasks from the credits of their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from megatron_speech.evaluation.tasks.interface import Record
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.intervals import mean_interval


def credit_estimate(credits: Sequence[float], bootstrap: Bootstrap) -> dict[str, Any]:
    """Mean of credits with its interval, as plain JSON."""
    return mean_interval(credits, seed=bootstrap.seed, resamples=bootstrap.resamples).rounded().to_json()


def credits_by_subset(records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
    """The entry `subsets` with the accuracy of every subset; nothing if the records name none."""
    subsets = sorted({record["subset"] for record in records} - {""})
    own = {name: [each["credit"] for each in records if each["subset"] == name] for name in subsets}
    return {"subsets": {name: credit_estimate(credits, bootstrap) for name, credits in own.items()}} if subsets else {}
