"""From the replies of a judge to verdicts and credits.

A judge is asked `n` times about an answer, and in both orders about two. Verdicts of an order are averaged, then the
orders. The label by which judges are compared takes the middle verdict instead, the lower one of two middle ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, median_low
from typing import Any

from megatron_speech.evaluation.judging.endpoint import Reply
from megatron_speech.evaluation.judging.prompts import JudgePrompt
from megatron_speech.metrics.agreement import cohen_kappa, share_of_agreement


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one judge said about one case; each list has an entry per order."""

    verdicts: list[list[str | None]]
    """One per reply; None if its last line is no verdict."""
    worths: list[list[float]]
    """Of the verdicts, for the answer of the evaluation that is judged."""
    unread: list[str]
    """Replies without a verdict, or why the request was refused."""

    @classmethod
    def of(cls, prompt: JudgePrompt, replies: Sequence[Sequence[Reply]]) -> Judgement:
        """Read the replies of each order; in the second one, a verdict is worth for the other answer."""
        verdicts = [[prompt.verdict_of(reply.text) for reply in order] for order in replies]
        told = [[prompt.verdicts[verdict] for verdict in order if verdict is not None] for order in verdicts]
        both = zip(chain(*replies), chain(*verdicts), strict=True)
        return cls(
            verdicts=verdicts,
            worths=[[1 - worth for worth in order] if number else order for number, order in enumerate(told)],
            unread=[reply.refused or reply.text for reply, verdict in both if verdict is None],
        )

    @property
    def credit(self) -> float | None:
        """Mean worth; None if an order has no verdict."""
        return fmean(map(fmean, self.worths)) if all(self.worths) else None

    @property
    def label(self) -> float | None:
        """Middle worth; None if an order has no verdict."""
        return fmean(map(median_low, self.worths)) if all(self.worths) else None

    @property
    def turned(self) -> bool:
        """Whether the other order changed the verdict."""
        return all(self.worths) and len({median_low(order) for order in self.worths}) > 1


def agreement(first: Sequence[Judgement], second: Sequence[Judgement]) -> dict[str, Any]:
    """How far two judges agree on the cases that have verdicts of both."""
    labels = [(a.label, b.label) for a, b in zip(first, second, strict=True)]
    both = [(a, b) for a, b in labels if a is not None and b is not None]
    if not both:
        return {"items": 0, "same": 0}
    ours, theirs = zip(*both, strict=True)
    kappa = cohen_kappa(ours, theirs)
    return {
        "items": len(both),
        "same": sum(a == b for a, b in both),
        "share": round(share_of_agreement(ours, theirs), 6),
        "kappa": None if kappa is None else round(kappa, 6),
    }
