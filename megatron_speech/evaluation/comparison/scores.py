"""Scores of evaluations, and their differences item by item: may a difference be believed?

The first evaluation is compared with each other. Evaluations by unequal protocols, or of other items, are refused with
what differs. Differences have 95 % intervals, and those of accuracies McNemar's exact test.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.evaluation.comparison.evaluations import (
    Amount,
    Evaluation,
    Measure,
    read_evaluation,
    require_equal_protocols,
    require_same_items,
)
from megatron_speech.metrics.intervals import mcnemar, mean_interval, paired_difference, ratio_interval

Leaked = tuple[str, str]
"""Data set and id of an item that training data have."""


@dataclass(frozen=True, kw_only=True)
class ComparedScore(Record):
    """The scores of all models on one measure."""

    evaluation_task: str
    """Name of the evaluation task, such as questions."""
    task: str
    """Data set, or what the evaluation task calls its items."""
    pair: str
    """Modality pair, with the way of answering."""
    rate: str = ""
    """Error rate, wer or cer; empty for an accuracy."""
    items: int
    chance: float | None
    """Accuracy of guessing, a fraction."""
    scores: list[EstimateFacts]
    """Of each evaluation."""
    differences: list[EstimateFacts]
    """Of each but the first evaluation, minus the first."""
    p: list[float | None] = field(default_factory=list)
    """McNemar's, of the same; null for error rates, and if credits are shared, so that they are no 0 and 1."""

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return Measure(self.evaluation_task, self.task, self.pair, self.rate)


def compared_scores(
    config: CompareEvaluationsConfig, *, without: Collection[Leaked] = frozenset()
) -> list[ComparedScore]:
    """Scores of all measures that the evaluations share; items `without` are left out.

    Raises ValueError if the protocols or the items differ, or if nothing is shared.
    """
    first, *others = [read_evaluation(folder) for folder in config.evaluations]
    for other in others:
        require_equal_protocols(first, other, accept=config.accept)
    shared = [measure for measure in first.amounts if all(measure in other.amounts for other in others)]
    if not shared:
        names = ", ".join(str(folder) for folder in config.evaluations)
        raise ValueError(f"evaluations={names}: no task with items is in all of them; evaluate the same tasks")
    compared = (_compared(measure, [first, *others], config, without) for measure in shared)
    return [score for score in compared if score is not None]


def score_of(measure: Measure, amounts: Sequence[Amount], config: CompareEvaluationsConfig) -> EstimateFacts:
    """Score of the amounts of all items, with its interval."""
    values, sizes = zip(*amounts, strict=True)
    options = {"seed": config.seed, "resamples": config.resamples}
    estimate = ratio_interval(values, sizes, **options) if measure.rate else mean_interval(values, **options)
    return estimate.rounded()


def _compared(
    measure: Measure, evaluations: Sequence[Evaluation], config: CompareEvaluationsConfig, without: Collection[Leaked]
) -> ComparedScore | None:
    """None if no item is left."""
    for other in evaluations[1:]:
        require_same_items(measure, evaluations[0], other)
    left_out = {item for data_set, item in without if data_set in measure.data_sets}
    kept = sorted(evaluations[0].amounts[measure].keys() - left_out)
    if not kept:
        return None
    first, *others = ([evaluation.amounts[measure][item] for item in kept] for evaluation in evaluations)
    protocol = evaluations[0].protocols.get(measure.evaluation_task, {})
    return ComparedScore(
        **measure._asdict(),
        items=len(kept),
        chance=None if measure.rate else protocol.get("chance", {}).get(measure.task),
        scores=[score_of(measure, amounts, config) for amounts in (first, *others)],
        differences=[_difference(measure, first, other, config) for other in others],
        p=[_p(measure, first, other) for other in others],
    )


def _difference(
    measure: Measure, first: Sequence[Amount], second: Sequence[Amount], config: CompareEvaluationsConfig
) -> EstimateFacts:
    """Score of `second` minus that of `first`; their sizes are equal."""
    (old, sizes), (new, _) = (zip(*amounts, strict=True) for amounts in (first, second))
    options = {"seed": config.seed, "resamples": config.resamples}
    if measure.rate:
        more = [after - before for before, after in zip(old, new, strict=True)]
        return ratio_interval(more, sizes, **options).rounded()
    return paired_difference(old, new, **options).rounded()


def _p(measure: Measure, first: Sequence[Amount], second: Sequence[Amount]) -> float | None:
    old, new = ([value for value, _ in amounts] for amounts in (first, second))
    return None if measure.rate or not {*old, *new} <= {0.0, 1.0} else round(mcnemar(old, new), 6)
