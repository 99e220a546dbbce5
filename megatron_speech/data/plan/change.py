"""Whether a run may go on with another plan than the one it began with, and what differs.

Two plans agree on the first n samples if the stages that these touch have the same budgets, losses and sources, in the
same order, and do not end before them. What comes later is free: a run that has begun may get new stages, and a stage
may be left early. Price: of a stage that has begun not even the budget can grow, since its budgets are its order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from megatron_speech.data.plan.plan import Plan


def require_same_plan(old: Plan, new: Plan, *, consumed: int, extend: bool) -> None:
    """Refuse to read on after `consumed` samples of `old` by a plan that is not the same.

    With `extend`, plans may differ behind these samples. ValueError names the first differences and the remedy.
    """
    if old.fingerprint == new.fingerprint:
        return
    found = "; ".join(list(differences(old, new))[:4]) or "the order's version differs"
    conflict = first_conflict(old, new, consumed)
    if conflict is not None:
        raise ValueError(
            f"data: the run has read {consumed:,} samples of another plan ({found}), and {conflict}; restore what they "
            "came from; to train on, append a stage to data.stages (or end the present one by stop_at_sample) and set "
            "data.extend_plan=true; or start in another folder"
        )
    if not extend:
        raise ValueError(
            f"data: this plan is not the run's ({found}); restore it, or set data.extend_plan=true to follow it after "
            f"the {consumed:,} samples that are read, on which both agree"
        )


def first_conflict(old: Plan, new: Plan, consumed: int) -> str | None:
    """Why the first `consumed` samples of both plans are not known to be the same; None if they are."""
    for key in ("seq_length", "seed", "vocabulary", "order"):
        if getattr(old, key) != getattr(new, key):
            return f"{key} decides every sample"
    first = 0
    for number, stage in enumerate(old.stages):
        if first >= consumed:
            return None
        read_until = min(first + stage.samples, consumed)
        key = f"stage {stage.name or number}"
        if number >= len(new.stages) or new.ends[number] < read_until:
            return f"{key} of the new plan ends before sample {read_until:,}"
        if new.ends[number] > old.ends[number] and consumed > old.ends[number]:
            return f"{key} ended at sample {old.ends[number]:,}"
        if _contents(old, number) != _contents(new, number):
            return f"{key} had begun"
        first += stage.samples
    return None


def differences(old: Plan, new: Plan) -> Iterator[str]:
    """What differs, each as `key: new value, was old value`."""
    ours, theirs = _facts(new), _facts(old)
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        if ours.get(key) != theirs.get(key):
            yield f"{key}: {ours.get(key, 'absent')}, was {theirs.get(key, 'absent')}"


def _facts(plan: Plan) -> dict[str, Any]:
    """Everything that the fingerprint covers, by a name that people know."""
    facts: dict[str, Any] = {key: getattr(plan, key) for key in ("seq_length", "seed", "order")}
    facts["vocabulary"] = plan.vocabulary[:12]
    for source in plan.sources:
        facts[f"{source.name} rows"] = f"{source.rows:,}"
        facts[f"{source.name} shards"] = source.checksum[:12]
    for number, stage in enumerate(plan.stages):
        label = f"stages[{number}]"
        facts[f"{label} samples"] = f"{stage.samples:,}"
        for index, rows in stage.budgets.items():
            name, loss = plan.sources[index].name, plan.sources[index].loss
            facts[f"{label} {name}"] = f"{rows:,} rows"
            facts[f"{label} {name} loss"] = f"{loss.tokens} {loss.text_weight:g}:{loss.speech_weight:g}"
    return facts


def _contents(plan: Plan, stage: int) -> list[Any]:
    """What a stage reads, in the order that decides how its sources alternate."""
    of_source = [(plan.sources[index], rows) for index, rows in plan.stages[stage].budgets.items() if rows]
    return [(source.name, source.rows, source.checksum, source.loss, rows) for source, rows in of_source]
