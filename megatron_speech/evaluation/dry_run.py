"""What an evaluation will see and cost, before it runs: items, visible differences, tokens, CPU time.

    task      items  at 20 %  at 40 %  tokens read  tokens scored  CPU time
    cloze       240      8.1     11.4      412,930        151,208   2.1 min
    held_out     96        -        -       44,100         43,980   0.4 min

A column "at 20 %" is for two models that answer 20 % of the items differently. It holds the smallest difference in
accuracy, in points, that a comparison sees (80 % power). A task with several data sets has a row for each below its
own. Tokens are counted; the time is measured on a few batches of each task, spread evenly.

Limitations: intervals and reading the items are not in the time; on a GPU it is the time of the CPU beside it. Of
answers that a model writes, only the most tokens are known, and no time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.evaluation.comparison.table import aligned
from megatron_speech.evaluation.evaluated_model import model_at, models_at
from megatron_speech.evaluation.harness import read_items
from megatron_speech.evaluation.tasks.interface import EvaluationTask, GenerationTask, Request, Scorer
from megatron_speech.evaluation.tasks.table import Task, asked_tasks
from megatron_speech.inference.model import PlannedBatch, planned_batches
from megatron_speech.metrics.power import DISCORDANT, smallest_difference
from megatron_speech.progress import Progress, duration

PROBED = 8
"""Batches of each task that are timed; of a task with fewer, all."""
Batch = tuple[list[Request], PlannedBatch]


@dataclass(frozen=True, kw_only=True)
class TaskCost:
    """What one task sees and costs."""

    items: int
    sets: Mapping[str, int] = field(default_factory=dict)
    """Items by data set, for a task that reads data sets."""
    accuracy: bool
    """Whether its score is an accuracy, of which the power is known."""
    read: int
    """Tokens that the model reads; a context that candidates share counts once."""
    scored: int
    """Tokens whose log-probability is computed; of written answers, the most that are written."""
    seconds: float | None
    """CPU time, predicted; null for written answers."""


def dry_run(config: EvaluateConfig) -> Iterator[str]:
    """Lines of the table, from a probe of the model. Raises as `evaluate` for defective settings, files or models."""
    models = (
        [model_at(config.model, config.vocabulary)] if config.model else models_at(config.models, config.vocabulary)
    )
    items = read_items(config, models[0].vocabulary())
    model, _ = models[0].load(dtype=config.dtype, device=config.device, beside=config.output)
    yield from cost_table(task_costs(model, items, asked_tasks(config)))
    if len(models) > 1:
        yield f"this is the first of {len(models)} models: {models[0].name}"


def task_costs(model: Scorer, items: Mapping[str, Sequence[Any]], tasks: Mapping[str, Task]) -> dict[str, TaskCost]:
    """Cost of every task that has items, by name."""
    asked = {name: task for name, task in tasks.items() if items[name]}
    scoring = {
        name: _batches(task, items[name], model) for name, task in asked.items() if not isinstance(task, GenerationTask)
    }
    if batches := [batch for own in scoring.values() for batch in own]:
        _cpu_seconds(model, min(batches, key=lambda batch: batch[1].padded))  # the first pass of a model takes longer
    probes = sum(len(_spread(own)) for own in scoring.values())
    with Progress("evaluate dry run", unit="batches", total=probes) as progress:
        return {
            name: _written(task, items[name], model)
            if isinstance(task, GenerationTask)
            else TaskCost(
                items=len(items[name]),
                sets=_sets(items[name]),
                accuracy=_is_accuracy(task, items[name]),
                read=sum(batch.read for _, batch in scoring[name]),
                scored=sum(batch.scored for _, batch in scoring[name]),
                seconds=_predicted(model, scoring[name], progress),
            )
            for name, task in asked.items()
        }


def cost_table(costs: Mapping[str, TaskCost]) -> Iterator[str]:
    """Lines of the table in the module's docstring, and what they say."""
    similar, different = (f"{share:.0%}".replace("%", " %") for share in DISCORDANT)
    head = ("task", "items", f"at {similar}", f"at {different}", "tokens read", "tokens scored", "CPU time")
    yield from aligned([head, *(row for name, cost in costs.items() for row in _rows(name, cost))])
    seconds = sum(cost.seconds or 0.0 for cost in costs.values())
    without = "; without that of written answers" if any(cost.seconds is None for cost in costs.values()) else ""
    yield f"sum: {duration(seconds)} of CPU time, predicted from a probe{without}"
    yield (
        f"at {similar}, at {different}: smallest difference in points that is seen (80 % power) if two models answer "
        "so many items differently"
    )


def _rows(name: str, cost: TaskCost) -> Iterator[tuple[str, ...]]:
    """The row of a task, and one for each of its data sets, where it has several: those are compared."""
    scored = f"{cost.scored:,}" if cost.seconds is not None else f"at most {cost.scored:,}"
    time_taken = "-" if cost.seconds is None else duration(cost.seconds)
    several = len(cost.sets) > 1
    seen = _seen(cost.items) if cost.accuracy and not several else ["-"] * len(DISCORDANT)
    yield name, f"{cost.items:,}", *seen, f"{cost.read:,}", scored, time_taken
    if several:
        for data_set, items in cost.sets.items():
            yield f"  {data_set}", f"{items:,}", *(_seen(items) if cost.accuracy else seen), "", "", ""


def _seen(items: int) -> list[str]:
    """Smallest visible differences, in points; none if even all differing answers on one side would not be enough."""
    smallest = [(smallest_difference(items, discordant=share), share) for share in DISCORDANT]
    return ["none" if difference >= share else f"{100 * difference:.1f}" for difference, share in smallest]


def _sets(items: Sequence[Any]) -> dict[str, int]:
    """Number of items by the data set that they name."""
    return dict(Counter(item.data_set for item in items if hasattr(item, "data_set")))


def _is_accuracy(task: Task, items: Sequence[Any]) -> bool:
    protocol = task.protocol(items)
    return bool(protocol.chance) or protocol.matcher is not None


def _written(task: GenerationTask[Any], items: Sequence[Any], model: Scorer) -> TaskCost:
    prompts = [prompt for _, group in task.prompts(items, model) for prompt in group]
    return TaskCost(
        items=len(items),
        sets=_sets(items),
        accuracy=_is_accuracy(task, items),
        read=sum(len(ids) for ids, _ in prompts),
        scored=sum(settings.max_new_tokens for _, settings in prompts),
        seconds=None,
    )


def _batches(task: EvaluationTask[Any], items: Sequence[Any], model: Scorer) -> list[Batch]:
    """All forward passes of a task, with the requests of each."""
    return [
        ([requests[number] for number in batch.requests], batch)
        for _, requests in task.requests(items, model)
        for batch in planned_batches(requests)
    ]


def _predicted(model: Scorer, batches: Sequence[Batch], progress: Progress) -> float:
    """CPU seconds of all `batches`: those of a few, in proportion to tokens."""
    probed = _spread(batches)
    seconds = 0.0
    for batch in probed:
        seconds += _cpu_seconds(model, batch)
        progress.add(1)
    return seconds * _size(batches) / _size(probed)


def _spread(batches: Sequence[Batch]) -> list[Batch]:
    """At most `PROBED` batches from the middles of equal stretches."""
    count = min(PROBED, len(batches))
    return [batches[(2 * place + 1) * len(batches) // (2 * count)] for place in range(count)]


def _size(batches: Sequence[Batch]) -> int:
    """Tokens that pass through the layers, and those that pass through the output."""
    return sum(batch.padded + batch.scored for _, batch in batches)


def _cpu_seconds(model: Scorer, batch: Batch) -> float:
    start = time.process_time()
    model.token_log_probabilities(batch[0])
    return time.process_time() - start
