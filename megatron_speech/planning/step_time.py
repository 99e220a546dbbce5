"""Time of an optimizer step: micro-batches through the pipeline, its bubble, data parallelism, the optimizer.

The pipeline runs as fast as its slowest stage; the last one also holds the output layer. Filling and draining it costs
(stages - 1) / chunks passes of a micro-batch. Gradients travel behind the last backward pass, weights behind the first
forward pass; what does not fit there is exposed. Fully sharded weights travel for every micro-batch, behind each layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from megatron_speech.planning.collectives import gather_seconds, send_seconds
from megatron_speech.planning.job import Job
from megatron_speech.planning.kernels import memory_seconds
from megatron_speech.planning.layer_time import Pass, embedding_pass, layer_passes, output_pass

STEP_S = 0.03
"""Work of the host once per step: batch, learning rate, norm of gradients, log."""
INTERFERENCE = 0.2
"""Slowdown of computation while collectives share its multiprocessors and memory, over the hidden time."""

SPREAD = 0.02
"""Standard deviation of the speed of like GPUs; the slowest of N lies about sqrt(2 ln N) of it below the mean."""
GROUPS = 0.25
"""Share of a group of micro-batches behind which the gradients of an interleaved schedule's chunk travel."""
BUCKETS = 0.5
"""Collectives per layer for gradients."""


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of a step by component; exposed communication only."""

    products: float
    attention: float
    memory: float
    launch: float
    tensor: float
    context: float
    recompute: float
    imbalance: float
    """Waiting for a pipeline stage that has more to do."""
    bubble: float
    sends: float
    """Between pipeline stages."""
    data: float
    """Gradients and weights of data parallel ranks."""
    optimizer: float
    stragglers: float = 0.0
    """Waiting for the slowest GPU of all."""

    @property
    def total(self) -> float:
        """Seconds of the step."""
        return float(sum(vars(self).values()))

    def scaled(self, factor: float) -> StepTime:
        """Every component times `factor`."""
        return StepTime(**{name: value * factor for name, value in vars(self).items()})


def step_time(job: Job) -> StepTime:
    """Predict the step of `job`, before the stack's fitted scalar."""
    forward, backward, again = layer_passes(job)
    layers, count = job.stage_layers, job.micro_batches
    again = again * job.recomputed
    ends = [Pass()] * job.pipeline
    ends[0] += embedding_pass(job)
    ends[-1] += output_pass(job)
    work = [(forward + backward) * number + end for number, end in zip(layers, ends, strict=True)]
    redo = [again.total * number for number in layers]
    totals = [each.total + more for each, more in zip(work, redo, strict=True)]
    slowest, mean = max(totals), sum(totals) / len(totals)
    average = sum(work, Pass()) * (count / job.pipeline)
    sends = _sends(job)
    bubble = (job.pipeline - 1) / job.virtual * (mean + sends / count)
    step = StepTime(
        **vars(average),
        recompute=sum(redo) / len(redo) * count,
        imbalance=(slowest - mean) * count,
        bubble=bubble,
        sends=sends,
        data=_data(job, forward, backward + again),
        optimizer=_optimizer(job),
    )
    return replace(step, stragglers=step.total * SPREAD * math.sqrt(2 * math.log(job.gpus)))


def tokens_per_second(job: Job, seconds: float) -> float:
    """Tokens per second and GPU of a step that takes so long."""
    return job.global_batch * job.sequence / seconds / job.gpus


def _sends(job: Job) -> float:
    if job.pipeline == 1:
        return 0.0
    total = 2.0 * job.tokens * job.shape.hidden / (job.tensor if job.sequence_parallel else 1)
    stride = job.tensor * job.context * job.copies
    one = send_seconds(total, stride=stride, gpu=job.gpu)
    return 2 * job.virtual * job.micro_batches * one * (1 - job.stack.hides_pipeline)


def _rank_parameters(job: Job) -> int:
    """Parameters of a rank of the fullest stage."""
    return max(job.parameters(stage).total for stage in job.fullest_stages)


def _layer_parameters(job: Job) -> float:
    return (job.shape.attention + job.shape.mlp) / job.tensor + job.shape.norms


def _weight_bytes(job: Job) -> float:
    return {"bf16": 2.0, "fp8": 1.0, "mxfp8": 2.0, "nvfp4": 2.0}[job.precision]


def _exposed(collective: float, behind: float) -> float:
    hidden = min(collective, behind)
    return collective - hidden + INTERFERENCE * hidden


def _data(job: Job, forward: Pass, backward: Pass) -> float:
    if job.sharers == 1:
        return 0.0
    if job.sharding in ("gradients", "weights"):
        return _fully_sharded(job, forward, backward)
    parameters, layers = _rank_parameters(job), max(job.stage_layers)
    again = _weight_bytes(job) if job.sharding == "optimizer" else job.gradient_bytes
    reduce, gather = (
        gather_seconds(each * parameters, ranks=job.sharers, stride=job.tensor, gpu=job.gpu, calls=calls * layers)
        for each, calls in ((job.gradient_bytes, BUCKETS), (again, job.stack.collectives))
    )
    # An interleaved schedule takes micro-batches in groups of one per stage, and ends a chunk a group before the next.
    groups = GROUPS * min(job.pipeline, job.micro_batches) if job.virtual > 1 else 1
    share = job.stack.hides_data * groups
    return _exposed(reduce, share * layers * backward.total) + _exposed(gather, share * layers * forward.total)


def _fully_sharded(job: Job, forward: Pass, backward: Pass) -> float:
    """Exposed time of gathering and scattering every layer's weights, per step."""
    layer = _layer_parameters(job)
    wide = _weight_bytes(job) if job.stack.attention == "vendor" else 2.0
    gather = gather_seconds(wide * layer, ranks=job.sharers, stride=job.tensor, gpu=job.gpu)
    reduce = gather_seconds(job.gradient_bytes * layer, ranks=job.sharers, stride=job.tensor, gpu=job.gpu)
    share, layers = job.stack.hides_data, max(job.stage_layers)
    if job.sharding == "gradients":  # weights stay gathered, and gradients accumulate, through all micro-batches
        return layers * (_exposed(gather, share * forward.total) + _exposed(reduce, share * backward.total))
    one = _exposed(gather, share * forward.total) + _exposed(gather + reduce, share * backward.total)
    return one * layers * job.micro_batches


def _optimizer(job: Job) -> float:
    """Adam reads and writes 30 bytes per parameter that the rank updates, and the norm reads the gradients."""
    parameters = _rank_parameters(job)
    shard = parameters / job.sharers if job.sharding != "none" else parameters
    gradients = parameters if job.sharding == "none" else shard
    return STEP_S + memory_seconds(30 * shard + 4 * gradients, gpu=job.gpu)
