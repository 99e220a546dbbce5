"""Time of data parallel communication that a step waits for: gradients, weights, and fully sharded layers.

Gradients travel in buckets behind the last backward pass, weights behind the first forward pass. Nothing hides the last
bucket of gradients and the first bucket of weights. Fully sharded weights travel for every micro-batch, layer by layer,
each behind the layer before. The first layer and the tables of the vocabulary have no layer to travel behind.
"""

from __future__ import annotations

from megatron_speech.planning.collectives import gather_seconds
from megatron_speech.planning.job import Job
from megatron_speech.planning.layer_time import Pass

INTERFERENCE = 0.4
"""Slowdown of computation beside collectives, over the hidden time: they hold up to 32 multiprocessors, and memory."""
GROUPS = 0.35
"""Share of a group of micro-batches behind which the gradients of an interleaved schedule's chunk travel."""
BUCKET, BUCKET_OF_RANK = 40e6, 1e6
"""Parameters of a bucket: at least so many, and so many per data parallel rank, as Megatron-Core has it."""


def data_seconds(job: Job, forward: Pass, backward: Pass, *, parameters: int) -> float:
    """Exposed communication of a step, where a rank has so many parameters and one layer takes these passes."""
    if job.sharers == 1:
        return 0.0
    if job.sharding in ("gradients", "weights"):
        return _fully_sharded(job, forward, backward) + _between_replicas(job, backward, parameters)
    return _in_buckets(job, forward, backward, parameters)


def _in_buckets(job: Job, forward: Pass, backward: Pass, parameters: int) -> float:
    layers = max(job.stage_layers)
    again = weight_bytes(job) if job.sharding == "optimizer" else job.gradient_bytes
    buckets = max(1.0, parameters / max(BUCKET, BUCKET_OF_RANK * job.sharers))
    pieces = max(buckets, job.stack.gathers * layers)
    reduce, gather = (
        gather_seconds(each * parameters, ranks=job.sharers, stride=job.tensor, gpu=job.gpu, calls=calls)
        for each, calls in ((job.gradient_bytes, buckets), (again, pieces))
    )
    # An interleaved schedule takes micro-batches in groups of one per stage, and ends a chunk a group before the next.
    groups = GROUPS * min(job.pipeline, job.micro_batches) if job.virtual > 1 else 1
    share = job.stack.hides_data * groups * layers
    seen = _exposed(reduce, share * backward.total, pieces=buckets)
    return seen + _exposed(gather, share * forward.total, pieces=pieces)


def _fully_sharded(job: Job, forward: Pass, backward: Pass) -> float:
    """Exposed time of gathering and scattering every layer's weights, per step."""
    tables = 2 if job.shape.untied and job.pipeline == 1 else 1
    layer, ends = _layer_parameters(job), tables * job.shape.table / job.tensor
    wide = weight_bytes(job) if job.stack.attention == "vendor" else 2.0

    def travel(each: float, parameters: float) -> float:
        return gather_seconds(each * parameters, ranks=job.shards, stride=job.tensor, gpu=job.gpu)

    gather, reduce = travel(wide, layer), travel(job.gradient_bytes, layer)
    share, layers = job.stack.hides_data, max(job.stage_layers)
    before = gather + travel(2.0, ends)
    after = reduce + travel(job.gradient_bytes, ends)
    if job.sharding == "gradients":  # weights stay gathered, and gradients accumulate, through all micro-batches
        hidden = _exposed(gather, share * forward.total) + _exposed(reduce, share * backward.total)
        return layers * hidden + before + after
    if job.stack.prefetches:
        back = _exposed(gather + reduce, share * backward.total)
    else:
        back = gather + _exposed(reduce, share * backward.total)
    return job.micro_batches * (layers * (_exposed(gather, share * forward.total) + back) + before + after)


def _between_replicas(job: Job, backward: Pass, parameters: int) -> float:
    """Exposed time of summing the gradients of replicas of the sharded model, once per step."""
    replicas = job.sharers // job.shards
    own = job.gradient_bytes * parameters / job.shards
    layers = max(job.stage_layers)
    summed = 2 * gather_seconds(own, ranks=replicas, stride=job.tensor * job.shards, gpu=job.gpu, calls=layers)
    return _exposed(summed, job.stack.hides_data * layers * backward.total, pieces=layers)


def _exposed(collective: float, behind: float, *, pieces: float = 0.0) -> float:
    """What is left of a collective behind computation; one of so many pieces cannot hide."""
    seen = collective / pieces if pieces else 0.0
    hidden = min(collective - seen, behind)
    return collective - hidden + INTERFERENCE * hidden


def _layer_parameters(job: Job) -> float:
    return (job.shape.attention + job.shape.mlp) / job.tensor + job.shape.norms


def weight_bytes(job: Job) -> float:
    """Bytes in which a weight travels."""
    return {"bf16": 2.0, "fp8": 1.0, "mxfp8": 2.0, "nvfp4": 2.0}[job.precision]
