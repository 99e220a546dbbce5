"""Prints a plan as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from megatron_speech.planning.budget import tenfold
from megatron_speech.planning.memory import GIB, Memory, stage_memory
from megatron_speech.planning.plan_run import RunPlan
from megatron_speech.planning.search import Prediction, describe

MOST_STAGES = 8
"""Pipeline stages that the table of memory shows; of more, the first, the last and the fullest."""
SHOWN_PARTS = ("weights", "gradients", "optimizer", "gathered", "activations", "logits", "floor")


def print_plan(plan: RunPlan) -> None:
    """Print everything about a plan to standard output."""
    console = Console(highlight=False, soft_wrap=True)
    job = plan.own.job
    console.print(
        f"{job.shape.parameters / 1e9:.2f}B parameters on {job.gpus} x {job.gpu.name}, {job.precision}, "
        f"{job.stack.name}: predictions with 90 % intervals, no measurements"
    )
    for table in _tables(plan):
        console.print(table)
    for line in _lines(plan):
        console.print(line)


def _tables(plan: RunPlan) -> Iterable[Table]:
    yield _layouts(plan)
    yield _time(plan.own)
    yield _memory(plan.own)
    if plan.neighbours:
        yield _table("Why neighbours of the fastest layout lose", ["change", "reason"], _reasons(plan))
    if plan.scaling:
        rows = [[f"{p.gpus:,}", f"{p.speed:,.0f}", f"{100 * p.efficiency:.0f} %"] for p in plan.scaling]
        yield _table("Strong scaling, same batch", ["GPUs", "tokens/s/GPU", "efficiency"], rows)
    if plan.sources:
        yield _table("Tokens by source", ["source", "tokens"], [[n, _tokens(v)] for n, v in plan.sources.items()])
    if plan.data.kinds:
        yield _kinds(plan)
    if plan.budget:
        yield _budget(plan)


def _layouts(plan: RunPlan) -> Table:
    rows = [
        [
            name,
            describe(each.job),
            f"{each.speed:,.0f}",
            f"{each.low:,.0f} - {each.high:,.0f}",
            f"{each.memory.needed / GIB:.1f}" + ("" if each.fits else " (too much)"),
        ]
        for name, each in [("own", plan.own), *((str(n), p) for n, p in enumerate(plan.fastest[:5], start=1))]
    ]
    columns = ["", "layout", "tokens/s\nper GPU", "90 % interval", f"GiB of\n{plan.own.job.gpu.memory_gib:g}"]
    return _table("Layouts: the run's own, and the fastest that fit", columns, rows)


def _time(own: Prediction) -> Table:
    whole = own.step.total
    parts = sorted(vars(own.step).items(), key=lambda item: -item[1])
    rows = [[name, f"{1000 * value:,.1f}", f"{100 * value / whole:.1f}"] for name, value in parts if value]
    rows.append(["step", f"{1000 * whole:,.1f}", "100.0"])
    return _table("A step of the own layout", ["component", "ms", "%"], rows)


def _memory(own: Prediction) -> Table:
    """Parts of the memory as rows, so that the table stays narrow."""
    job = own.job
    stages = range(job.pipeline) if job.pipeline <= MOST_STAGES else sorted({0, own.stage, job.pipeline - 1})
    memories: list[Memory] = [stage_memory(job, stage) for stage in stages]
    values = {name: [getattr(each, name) for each in memories] for name in SHOWN_PARTS}
    values |= {"at rest": [each.at_rest for each in memories], "peak": [each.total for each in memories]}
    rows = [[name, *(f"{each / GIB:.2f}" for each in parts)] for name, parts in values.items() if any(parts)]
    rows.append(["most", *(each.dominant for each in memories)])
    return _table("Memory of a rank in GiB", ["stage", *map(str, stages)], rows)


def _reasons(plan: RunPlan) -> list[list[str]]:
    return [[each.change, each.reason] for each in plan.neighbours]


def _kinds(plan: RunPlan) -> Table:
    rows = [
        [
            name,
            _tokens(kind.speech_tokens),
            _tokens(kind.text_tokens),
            f"{kind.epochs:.2f}",
            _tokens(kind.seen),
            f"{100 * kind.seen / plan.data.seen:.1f} %" if plan.data.seen else "",
        ]
        for name, kind in plan.data.kinds.items()
    ]
    rows.append(["total", "", "", "", _tokens(plan.data.seen), ""])
    return _table("Data", ["kind", "speech tokens", "text tokens", "epochs", "read", "share"], rows)


def _budget(plan: RunPlan) -> Table:
    budget, data = plan.budget, plan.data
    assert budget is not None
    rows = [
        ["tokens", _tokens(budget.tokens)],
        ["steps", f"{budget.steps:,}"],
        ["days of training", f"{budget.days:.2f} ({budget.days_low:.2f} - {budget.days_high:.2f})"],
        ["days with failures", f"{budget.days_with_failures:.2f}, goodput {100 * budget.goodput:.1f} %"],
        ["GPU-hours", f"{budget.gpu_hours:,.0f}"],
        ["failures expected", f"{budget.failures:.1f}"],
        [
            "checkpoint",
            f"{budget.checkpoint_bytes / 1e9:,.0f} GB, written in {budget.checkpoint_write_s:.0f} s every "
            f"{budget.checkpoint_every_s / 60:.0f} min",
        ],
        ["energy", f"{budget.megawatt_hours:,.1f} MWh"],
        *([name, f"{price:,.0f}"] for name, price in budget.money.items()),
    ]
    if data.shards:
        rows.append(["shards read", f"{data.shards:,}, {data.shard_bytes / 1e12:.2f} TB"])
    if data.synthesis_gpu_hours:
        rows.append(["synthesis", f"{data.synthesis_gpu_hours:,.0f} GPU-hours"])
    return _table("Budget", ["", ""], rows)


def _lines(plan: RunPlan) -> Iterable[str]:
    if plan.too_far is not None:
        yield f"strong scaling falls below the asked efficiency at {plan.too_far:,} GPUs"
    elif plan.scaling:
        most = plan.scaling[-1].gpus
        yield f"strong scaling keeps the asked efficiency up to {most:,} GPUs, the most that the batch divides over"
    if plan.scaling_prior:
        size, data, source = tenfold(plan.scaling_prior)
        yield f"ten times the compute: {size:.1f} times the model, {data:.1f} times the data ({source})"
    found = plan.comparison
    if found:
        yield (
            f"{found.run}: measured {found.measured:,.0f} tokens/s/GPU over {found.steps} steps, predicted "
            f"{found.predicted:,.0f} ({found.low:,.0f} - {found.high:,.0f}) on {plan.own.job.gpu.name}; {found.verdict}"
        )


def _tokens(number: float) -> str:
    return f"{number / 1e9:,.1f}B"


def _table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for index, name in enumerate(columns):
        is_text = name in ("", "layout", "change", "reason", "component", "source", "kind", "most") or index == 0
        table.add_column(name, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
