"""Formats a plan as a table for people: rows, tokens, epochs and share of every source in every stage."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from megatron_speech.data.plan.plan import Plan, PlannedSource


def describe(plan: Plan) -> str:
    """Return one block per stage and, if there are several, one over all stages.

    Columns: rows that the source has and that are read, tokens read, share of the stage, and epochs (in the stage, and
    since the start). Then text share of the labels, and the loss: targets, weights of text and speech.
    """
    lines = [
        f"{'source':<20}{'has':>15}{'reads':>13}{'tokens':>11}{'share':>8}{'epochs':>8}{'so far':>8}{'text':>6}  loss"
    ]
    before = {source.name: 0 for source in plan.sources}
    for number, stage in enumerate(plan.stages):
        read = plan.read_in(number, stage.samples)
        for index in stage.budgets:
            before[plan.sources[index].name] += read.get(index, 0)
        if len(plan.stages) > 1:
            early = "" if stage.samples == sum(stage.budgets.values()) else f", left at sample {plan.ends[number]:,}"
            lines.append(f"stage {stage.name or number}{early}")
        for index in stage.budgets:
            source = plan.sources[index]
            so_far = before[source.name] / source.rows
            lines.append(_line(plan, source, read.get(index, 0), stage.samples, so_far=so_far) + _loss(source))
        lines.append(_total(plan, stage.samples))
    if len(plan.stages) > 1:
        lines.append("all stages")
        for name, source in _by_name(plan).items():
            lines.append(_line(plan, source, before[name], plan.num_samples, so_far=before[name] / source.rows))
        lines.append(_total(plan, plan.num_samples))
    lines += [f"too many epochs: {name}" for name in too_many_epochs(plan)]
    return "\n".join(lines)


def require_epochs(plan: Plan, section: str) -> None:
    """Raise ValueError if a source is read more often than its max_epochs; it lists every source's rows and epochs."""
    excessive = too_many_epochs(plan)
    if excessive:
        table = "; ".join(_epochs(plan, name, too_many=name in excessive) for name in _by_name(plan))
        raise ValueError(
            f"{section}: {table}: lower the tokens or that source's share (its weight), or raise its max_epochs"
        )


def too_many_epochs(plan: Plan) -> list[str]:
    """Names of sources that are read more often than their max_epochs."""
    read = plan.consumed(plan.num_samples)
    return [
        name
        for name, source in _by_name(plan).items()
        if source.max_epochs is not None and read[name] > decimal(source.max_epochs) * source.rows
    ]


def decimal(value: float) -> Fraction:
    """The number as it was written: 1.2 is twelve tenths, although the float is a little less."""
    return Fraction(str(value))


def short(tokens: int) -> str:
    """Format a number of tokens in billions, millions or thousands, with one decimal."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if tokens >= size:
            return f"{tokens / size:,.1f}{letter}"
    return str(tokens)


def _by_name(plan: Plan) -> dict[str, PlannedSource]:
    return {source.name: source for source in plan.sources}


def _epochs(plan: Plan, name: str, *, too_many: bool) -> str:
    """One source of the error: its rows, and its epochs in total and by stage."""
    source, read = _by_name(plan)[name], plan.consumed(plan.num_samples)[name]
    limit = "" if source.max_epochs is None else f" (max_epochs={source.max_epochs:g})"
    stages = " + ".join(_stage_epochs(plan, name)) if len(plan.stages) > 1 else ""
    return (
        f"{name}: {read:,} of {source.rows:,} rows, {read / source.rows:.2f} epochs{stages and f' = {stages}'}{limit}"
        + " TOO MANY" * too_many
    )


def _stage_epochs(plan: Plan, name: str) -> Iterator[str]:
    for number, stage in enumerate(plan.stages):
        read = plan.read_in(number, stage.samples)
        rows = sum(count for index, count in read.items() if plan.sources[index].name == name)
        yield f"{rows / _by_name(plan)[name].rows:.2f} {stage.name}".rstrip()


def _line(plan: Plan, source: PlannedSource, read: int, samples: int, *, so_far: float) -> str:
    return (
        f"{source.name:<20}{source.rows:>15,}{read:>13,}{short(read * plan.seq_length):>11}"
        f"{read / max(1, samples):>8.1%}{read / source.rows:>8.2f}{so_far:>8.2f}{source.text_share:>6.0%}"
    )


def _loss(source: PlannedSource) -> str:
    return f"  {source.loss.tokens} {source.loss.text_weight:g}:{source.loss.speech_weight:g}"


def _total(plan: Plan, samples: int) -> str:
    return f"{'total':<35}{samples:>13,}{short(samples * plan.seq_length):>11}{1:>8.1%}"
