"""Draws a plan: memory of every pipeline stage by part, and the time of a step by component."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.planning.memory import GIB, stage_memory
from megatron_speech.planning.plan_run import RunPlan
from megatron_speech.reports.plots import new_figure, save_figure


def draw(plan: RunPlan, path: Path) -> None:
    """Save the figure of the run's own layout as PNG. ValueError if matplotlib is not installed."""
    job = plan.own.job
    figure, (memory, time) = new_figure(2, width=10.0)
    stages = list(range(job.pipeline))
    bottoms = [0.0] * job.pipeline
    for name in vars(plan.own.memory):
        heights = [getattr(stage_memory(job, stage), name) / GIB for stage in stages]
        if any(heights):
            memory.bar(stages, heights, bottom=bottoms, label=name)
            bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    memory.axhline(job.gpu.memory_gib, linestyle="--", color="black", linewidth=0.8)
    memory.set(xlabel="pipeline stage", ylabel="GiB per rank", title=f"memory, {job.gpu.name}", xticks=stages)
    memory.legend(fontsize="x-small")
    parts = {name: 1000 * value for name, value in vars(plan.own.step).items() if value}
    time.barh(list(parts), list(parts.values()))
    time.invert_yaxis()
    time.set(xlabel="ms per step", title="time, predicted")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.tmp.png")
    save_figure(figure, temporary)
    temporary.replace(path)
