"""Checks whether a run may continue with another plan than the one it began with, and lists the differences.

Two plans agree on the first n samples if the stages up to there are equal: sources, budgets, losses, order, and no
earlier end. Later stages may differ: a running training can get new stages, or leave a stage early. Limitation: the
budget of a started stage cannot even grow, because budgets determine the order inside a stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from megatron_speech.data.plan.plan import Plan


def require_same_plan(old: Plan, new: Plan, *, consumed: int, extend: bool) -> None:
    """Raise ValueError if a run that has read `consumed` samples of `old` cannot continue with `new`.

    With `extend`, the plans may differ after these samples. The error lists the first differences and the remedy.
    """
    if old.fingerprint == new.fingerprint:
        return
    found = "; ".join(list(differences(old, new))[:4]) or "the order's version differs"
    conflict = first_conflict(old, new, consumed)
    if conflict is not None:
        raise ValueError(
            f"data: the run has read {consumed:,} samples of another plan ({found}), and {conflict}; restore the "
            "earlier settings and shards; to train on, append a stage to data.stages (or end the present one by "
            "stop_at_sample) and set data.extend_plan=true; or start in another folder"
        )
    if not extend:
        raise ValueError(
            f"data: this plan is not the run's ({found}); restore the run's plan, or set data.extend_plan=true to "
            f"follow this one after the {consumed:,} samples read so far, which are the same in both"
        )


def first_conflict(old: Plan, new: Plan, consumed: int) -> str | None:
    """Explain why the first `consumed` samples of both plans may differ; None if they are the same."""
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
    """Yield every difference as `key: new value, was old value`."""
    ours, theirs = _facts(new), _facts(old)
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        if ours.get(key) != theirs.get(key):
            yield f"{key}: {ours.get(key, 'absent')}, was {theirs.get(key, 'absent')}"


def _facts(plan: Plan) -> dict[str, Any]:
    """Everything that the plan's fingerprint covers, under readable names."""
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
    """Sources of a stage with their budgets and losses, in the order that decides how they alternate."""
    of_source = [(plan.sources[index], rows) for index, rows in plan.stages[stage].budgets.items() if rows]
    return [(source.name, source.rows, source.checksum, source.loss, rows) for source, rows in of_source]
