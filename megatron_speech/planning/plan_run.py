"""Everything that `plan_run` tells of a run: its own layout, the fastest ones, neighbours, scaling, data and costs.

All of it is arithmetic on data sheets and settings. Speeds are predictions with a 90 % interval, never measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from megatron_speech.config.inspection.plan_run import PlanRunConfig
from megatron_speech.planning.budget import Budget, Data, budget_of, data_of, tenfold
from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.measured import Comparison, compare
from megatron_speech.planning.memory import GIB, host_copy_bytes, stage_memory
from megatron_speech.planning.parameters import planned_layout, planned_vocabulary
from megatron_speech.planning.run_job import job_of
from megatron_speech.planning.search import (
    Neighbour,
    Prediction,
    Scaling,
    describe,
    falls_below,
    neighbours,
    predict,
    search,
    strong_scaling,
)
from megatron_speech.planning.stacks import stack
from megatron_speech.progress import Progress


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A plan: what was asked, what is predicted, what would be faster, what it costs."""

    own: Prediction
    """The layout of the run's settings."""
    fastest: list[Prediction]
    """Empty without a search."""
    neighbours: list[Neighbour]
    scaling: list[Scaling]
    too_far: int | None
    """GPUs at which strong scaling falls below the asked efficiency."""
    sources: dict[str, float]
    """Tokens that the run reads by source, where weights decide."""
    data: Data
    budget: Budget | None
    """None without a number of tokens."""
    comparison: Comparison | None
    scaling_prior: str | None

    @property
    def best(self) -> Prediction:
        """The fastest layout that is known to fit, else the run's own."""
        return self.fastest[0] if self.fastest else self.own


def plan_run(config: PlanRunConfig) -> RunPlan:
    """Plan the run.

    Raises:
        ValueError: layout, model or batch do not divide, a name is unknown, or no layout fits.
        FileNotFoundError: the price file or the finished run does not exist.
    """
    if config.precision.dtype == "float32":
        raise ValueError("precision.dtype=float32: speeds are known for bfloat16 and below; plan with auto or bfloat16")
    planned_layout(config)
    chip = gpu(config.gpu)
    rows = planned_vocabulary(config).padded_size
    job = job_of(config, vocabulary_rows=rows, gpus=config.gpus, gpu=chip, stack=stack(config.stack))
    chip.peak(job.precision)
    prices = _prices(config.site.prices)
    own = predict(job)
    with Progress(f"plan_run: search layouts of {config.gpus} GPUs", late=True):
        fastest = search(job) if config.search else []
    best = fastest[0] if fastest else own
    data = data_of(config.corpora, tokens=_tokens(config), sequence=job.sequence)
    tokens = _tokens(config) or data.seen or None
    curve = strong_scaling(best.job)
    return RunPlan(
        own=own,
        fastest=fastest,
        neighbours=neighbours(best.job) if config.search else [],
        scaling=curve,
        too_far=falls_below(curve, config.least_efficiency),
        sources=_by_source(config),
        data=data,
        budget=budget_of(
            own if own.fits else best,
            config.site,
            prices,
            tokens=tokens,
            shard_bytes=data.shard_bytes,
            kept_checkpoints=config.checkpoint.keep_last,
        )
        if tokens
        else None,
        comparison=compare(config.from_run, own) if config.from_run else None,
        scaling_prior=config.scaling_prior,
    )


def require_fit(plan: RunPlan) -> None:
    """Raise ValueError if the run's own layout does not fit its GPUs."""
    own, chip = plan.own, plan.own.job.gpu
    if not own.fits:
        better = f"; {describe(plan.fastest[0].job)} fits" if plan.fastest else ""
        raise ValueError(
            f"parallel: this layout needs {own.memory.needed / GIB:.1f} GiB of the {chip.memory_gib:g} GiB of "
            f"{chip.name} on pipeline stage {own.stage}, mostly {own.memory.dominant}{better}"
        )


def to_json(plan: RunPlan) -> dict[str, Any]:
    """The plan as plain values."""
    job = plan.own.job
    flops = {name: job.shape.flops_per_token(job.sequence, name) for name in ("full", "causal")}
    grown = None
    if plan.scaling_prior:
        size, data, source = tenfold(plan.scaling_prior)
        grown = {"prior": plan.scaling_prior, "size": size, "data": data, "source": source}
    return {
        "kind": "prediction",
        "gpu": job.gpu.name,
        "gpus": job.gpus,
        "stack": job.stack.name,
        "precision": job.precision,
        "parameters": job.shape.parameters,
        "flops_per_token": {name: {**asdict(each), "total": each.total} for name, each in flops.items()},
        "own": _prediction(plan.own),
        "fastest": [_prediction(each) for each in plan.fastest],
        "neighbours": [asdict(each) for each in plan.neighbours],
        "strong_scaling": [asdict(each) for each in plan.scaling],
        "too_far_at_gpus": plan.too_far,
        "tokens_by_source": plan.sources,
        "data": asdict(plan.data),
        "budget": asdict(plan.budget) if plan.budget else None,
        "ten_times_the_compute": grown,
        "comparison": asdict(plan.comparison) if plan.comparison else None,
    }


def _prediction(each: Prediction) -> dict[str, Any]:
    job = each.job
    full = job.shape.flops_per_token(job.sequence).total
    return {
        "layout": describe(job),
        **{name: getattr(job, name) for name in ("tensor", "pipeline", "virtual", "context", "micro_batch")},
        "data": job.copies,
        "recompute": job.recompute,
        "tokens_per_s_per_gpu": each.speed,
        "interval_90": [each.low, each.high],
        "mfu_full_attention": each.speed * full / job.gpu.peak(job.precision),
        "step_s": each.step.total,
        "step_s_by_component": vars(each.step),
        "fits": each.fits,
        "needed_gib": each.memory.needed / GIB,
        "host_copy_bytes_per_node": host_copy_bytes(job),
        "memory_by_stage": [_memory(job, stage) for stage in range(job.pipeline)],
    }


def _memory(job: Job, stage: int) -> dict[str, Any]:
    memory = stage_memory(job, stage)
    return {**vars(memory), "peak": memory.total, "at_rest": memory.at_rest, "dominant": memory.dominant}


def _tokens(config: PlanRunConfig) -> float | None:
    if config.train.tokens is not None:
        return float(config.train.tokens)
    stated = [stage.tokens for stage in config.data.stages]
    return float(sum(each for each in stated if each)) if stated and all(stated) else None


def _by_source(config: PlanRunConfig) -> dict[str, float]:
    """Tokens by source, in proportion to the weights; nothing for runs in stages."""
    if config.train.tokens is None:
        return {}
    whole = sum(source.weight for source in config.data.sources.values())
    return {name: config.train.tokens * source.weight / whole for name, source in config.data.sources.items()}


def _prices(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    if not path.is_file():
        raise FileNotFoundError(f"site.prices={path} does not exist; correct the path, or leave it out")
    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"site.prices={path} is no YAML: {str(error).splitlines()[0]}; correct the file") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"site.prices={path} must map items to prices; correct the file")
    return found
