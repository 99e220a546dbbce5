"""Memory of a rank by part, at rest between steps and at the peak of a step, by arithmetic.

Weights, gradients and optimizer states follow from the number of parameters. Activations are what layers keep for the
backward pass: inputs and outputs of norms, projections and the MLP. A pipeline stage holds those of several
micro-batches at once, an interleaved one of still more. The last stage adds the logits, the largest tensor by far with
a speech vocabulary. `floor` is what libraries allocate in any run. Outside of the allocator lie the CUDA context and
the buffers of communication; `reserve_gib` stands for them and for fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.planning.gpus import Gpu
from megatron_speech.planning.job import Job

GIB = 2**30
WORKSPACE = {"ampere": (4 * 2**20, 8.5e6), "hopper": (32 * 2**20, 32 * 2**20), "blackwell": (32 * 2**20, 32 * 2**20)}
"""Bytes of Transformer Engine's workspace, and of each of cuBLAS's two, one per thread that runs a pass."""
OTHER_FLOOR = 6e6
CONTEXT_GIB = 1.2
"""CUDA context and communication buffers."""
FRAGMENTATION = 0.01
"""Share of the peak that the allocator loses between tensors, with expandable segments."""
NARROW_BYTES = {"fp8": 1.0, "mxfp8": 2.06, "nvfp4": 1.12}
"""Bytes per weight of the narrow copy: MXFP8 and NVFP4 keep one along rows and one along columns."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one rank by part."""

    weights: int
    gradients: int
    optimizer: int
    """Two moments, and float32 master weights beside bfloat16 ones."""
    gathered: int
    """Whole weights of the layers at work, where ranks divide the weights."""
    activations: int
    """Of layers, for all micro-batches that the stage holds at once."""
    logits: int
    """Of the last stage."""
    floor: int
    """Workspaces of libraries."""

    @property
    def total(self) -> int:
        """Peak of a step: the sum of all parts."""
        return sum(vars(self).values())

    @property
    def at_rest(self) -> int:
        """Allocated between two steps."""
        return self.weights + self.gradients + self.optimizer + self.floor

    @property
    def dominant(self) -> str:
        """Name of the largest part."""
        return max(vars(self), key=lambda name: int(vars(self)[name]))

    @property
    def needed(self) -> float:
        """Bytes that the GPU must have for this peak."""
        return self.total * (1 + FRAGMENTATION) + CONTEXT_GIB * GIB


def stage_memory(job: Job, stage: int) -> Memory:
    """Memory of a rank of pipeline stage `stage`."""
    number = job.parameters(stage).total
    weights, gradients, optimizer, gathered = _states(job, stage, number)
    is_last = stage == job.pipeline - 1
    logits = job.tokens * job.shape.vocabulary // job.tensor * (job.loss_bytes + job.value_bytes - 2)
    return Memory(
        weights=round(weights),
        gradients=round(gradients),
        optimizer=round(optimizer),
        gathered=round(gathered),
        activations=round(_activations(job, stage)),
        logits=logits if is_last else 0,
        floor=round(floor(job.gpu, deterministic=job.deterministic)),
    )


def fullest(job: Job) -> tuple[int, Memory]:
    """The stage with the highest peak, and its memory."""
    memories = {stage: stage_memory(job, stage) for stage in job.fullest_stages}
    stage = max(memories, key=lambda index: memories[index].total)
    return stage, memories[stage]


def fits(job: Job, *, room: float = 0.0) -> bool:
    """Whether every stage fits its GPU and leaves this share of it free."""
    return fullest(job)[1].needed <= job.gpu.memory_gib * GIB * (1 - room)


def floor(gpu: Gpu, *, deterministic: bool = False) -> float:
    """Bytes that libraries allocate in any run."""
    engine, product = WORKSPACE[gpu.architecture]
    return engine + 2 * (32 * 2**20 if deterministic else product) + OTHER_FLOOR


def layers_in_flight(job: Job, stage: int) -> float:
    """Layers of a stage, counted once for every micro-batch whose activations they hold at the same time.

    An interleaved stage runs a group of one micro-batch per stage through its first chunk, then through its second, and
    so on. Before its first backward pass it has done so for all chunks but the last.
    """
    if job.virtual == 1:
        return min(job.micro_batches, job.pipeline - stage) * job.stage_layers[stage]
    warm_up = 2 * (job.pipeline - 1 - stage) + (job.virtual - 1) * job.pipeline
    passes = min(job.micro_batches * job.virtual, warm_up + 1)
    if job.chunk_layers is None:
        return passes * job.stage_layers[stage] / job.virtual
    chunks = job.chunk_layers[stage :: job.pipeline]
    return sum(chunks[each // job.pipeline % job.virtual] for each in range(passes))


def _states(job: Job, stage: int, number: int) -> tuple[float, float, float, float]:
    """Bytes of weights, gradients, optimizer and gathered weights."""
    value, states = job.value_bytes, job.state_bytes - (0 if job.value_bytes == 2 else 4)
    layer = job.parameters(stage).total - job.parameters(stage).embedding - job.parameters(stage).output_layer
    narrow = 0.0
    if job.precision != "bf16":
        copies = 2 if job.precision == "fp8" and job.gpu.architecture == "hopper" else 1  # one along columns, too
        narrow = layer * NARROW_BYTES[job.precision] * copies - (2 * layer if job.narrow_weights else 0)
    sharers = job.sharers
    if job.sharding == "weights":
        at_work = 2 * layer / max(1, job.stage_layers[stage]) * (value + job.gradient_bytes)
        own = 4 if job.stack.family == "torch" else value + 4
        shards = job.shards
        return own * number / shards, 4 * number / shards, (states - 4) * number / shards, at_work
    if job.sharding == "gradients":  # gradients stay whole while they accumulate
        whole = job.gradient_bytes * number if job.micro_batches > 1 else 0
        return value * number, 4 * number / sharers, states * number / sharers, whole
    divided = sharers if job.sharding == "optimizer" else 1
    gradient = 4 if value == 4 else job.gradient_bytes
    return value * number + narrow, gradient * number, -(-states * number // divided), 0.0


def _activations(job: Job, stage: int) -> float:
    """Bytes that the layers of a stage keep, with the working set of one layer where all recompute."""
    whole, kept = layer_bytes(job), _kept_bytes(job)
    average = job.recomputed * kept + (1 - job.recomputed) * whole
    working = whole - kept if job.recompute == "full" else 0
    return job.tokens * (layers_in_flight(job, stage) * average + working)


def layer_bytes(job: Job) -> float:
    """Bytes per token that one layer keeps without recomputation.

    Both norms keep input and output. Attention keeps queries, keys, values and its output; the MLP keeps what enters
    and what leaves its activation. In FP8, inputs of products are kept in that format.
    """
    shape, value, split, operand = job.shape, job.value_bytes, _split(job), _operand_bytes(job)
    norms = 2 * shape.hidden * (value + operand) + (2 * shape.hidden if job.dropout else 0)
    rotated = 1 if job.stack.fused or shape.positions else 2  # an unfused rotation keeps its input, too
    attention = shape.joined * value * rotated + shape.query * value
    if job.keeps_scores:
        attention += shape.heads * job.sequence * (2 * value + 1)
    return norms / split + (attention + _mlp_bytes(job)) / job.tensor


def _mlp_bytes(job: Job) -> float:
    return job.shape.ffn * ((2 if job.shape.gated else 1) * job.value_bytes + _operand_bytes(job))


def _operand_bytes(job: Job) -> float:
    """Bytes of a product's input as it is kept; only Transformer Engine keeps the narrow copy instead."""
    if job.stack.family == "torch":
        return job.value_bytes
    return {"fp8": 1.0, "nvfp4": 0.56}.get(job.precision, job.value_bytes)


def _kept_bytes(job: Job) -> float:
    """Bytes per token of a layer that recomputes."""
    shape, whole = job.shape, layer_bytes(job)
    if job.recompute == "full":
        return shape.hidden * job.value_bytes / _split(job)
    if job.recompute == "attention":
        scores = shape.heads * job.sequence * (2 * job.value_bytes + 1) if job.keeps_scores else 0
        return whole - scores / job.tensor
    if job.recompute == "mlp":
        return whole - _mlp_bytes(job) / job.tensor
    return whole


def _split(job: Job) -> int:
    return job.tensor if job.sequence_parallel else 1


def checkpoint_bytes(job: Job) -> int:
    """Bytes of a checkpoint: weights, float32 master weights and two moments of the whole model."""
    return job.shape.parameters * (job.value_bytes + job.state_bytes - (0 if job.value_bytes == 2 else 4))


def host_copy_bytes(job: Job) -> int:
    """Bytes of host memory per node while an asynchronous save copies the state away."""
    return round(checkpoint_bytes(job) / job.gpus * min(job.gpus, job.gpu.node))
