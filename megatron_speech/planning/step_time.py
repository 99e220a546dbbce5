"""Time of an optimizer step: micro-batches through the pipeline, its bubble, data parallelism, the optimizer.

The pipeline runs as fast as its slowest stage; the last one also holds the output layer. Filling and draining it costs
(stages - 1) / chunks passes of a micro-batch. `data_parallel` adds the communication of gradients and weights that a
step waits for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from megatron_speech.planning.collectives import send_seconds
from megatron_speech.planning.data_parallel import data_seconds
from megatron_speech.planning.job import Job
from megatron_speech.planning.kernels import memory_seconds
from megatron_speech.planning.layer_time import Pass, embedding_pass, layer_passes, output_pass

STEP_S = 0.03
"""Work of the host once per step: batch, learning rate, norm of gradients, log."""
SPREAD = 0.02
"""Standard deviation of the speed of like GPUs; the slowest of N lies about sqrt(2 ln N) of it below the mean."""


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
        data=data_seconds(job, forward, backward + again, parameters=_rank_parameters(job)),
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


def _optimizer(job: Job) -> float:
    """Adam reads and writes 30 bytes per parameter that the rank updates, and the norm reads the gradients."""
    parameters = _rank_parameters(job)
    shard = parameters / job.shards if job.sharding != "none" else parameters
    gradients = parameters if job.sharding == "none" else shard
    return STEP_S + memory_seconds(30 * shard + 4 * gradients, gpu=job.gpu)
