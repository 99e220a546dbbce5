"""Time of one layer, of the embedding and of the output layer for one micro-batch, by component.

A layer's forward pass has four matrix products, fused attention, and operations that only read and write memory. Its
backward pass has two products for every one, and attention again. Kernels cannot start faster than the host issues
them. Tensor parallel ranks gather activations before a block and scatter them after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.planning.collectives import gather_seconds
from megatron_speech.planning.job import Job
from megatron_speech.planning.kernels import OPERAND_BYTES, attention_seconds, memory_seconds, product_seconds

CAST_BYTES = {"fp8": 1.5, "mxfp8": 3.5, "nvfp4": 3.5}
"""Bytes read and written to cast one operand."""
GAPS_S = 150e-6
"""Gaps between the kernels of one layer's pass: tails, and starts on the GPU."""
BIASES = 1.3
"""Memory traffic of operations with biases and dropout over those without."""
UNFUSED = 1.8
"""Memory traffic of single kernels over that of fused ones."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Seconds of a pass by component; they add up, because what overlaps is already left out."""

    products: float = 0.0
    attention: float = 0.0
    memory: float = 0.0
    """Norms, rotations, activations, residual sums, casts, loss."""
    launch: float = 0.0
    """Waiting for the host to issue kernels."""
    tensor: float = 0.0
    """Tensor parallel communication that nothing hides."""
    context: float = 0.0
    """Context parallel communication that nothing hides."""

    @property
    def total(self) -> float:
        """Sum of all components."""
        return float(sum(vars(self).values()))

    def __add__(self, other: Pass) -> Pass:
        return Pass(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __mul__(self, times: float) -> Pass:
        return Pass(**{name: value * times for name, value in vars(self).items()})


def layer_passes(job: Job) -> tuple[Pass, Pass, Pass]:
    """Forward and backward pass of a layer, and what its recomputation adds to the backward pass."""
    products = _products(job)
    attention = _attention(job)
    moved = _moved(job)
    tensor = _tensor(job)
    context = _context(job, attention)
    forward = Pass(products=products, attention=attention[0], memory=moved, tensor=tensor[0], context=context[0])
    backward = Pass(
        products=2 * products, attention=attention[1], memory=1.6 * moved, tensor=tensor[1], context=context[1]
    )
    again = Pass()
    if job.recompute == "full":
        again = forward
    elif job.recompute == "attention":
        again = Pass(attention=attention[0])
    elif job.recompute == "mlp":
        again = Pass(products=products * _mlp_share(job), memory=0.5 * moved, tensor=0.5 * tensor[0])
    issue = job.stack.issue_us * 1e-6 * job.gpu.host
    return _issued(forward, issue), _issued(backward, issue), again


def embedding_pass(job: Job) -> Pass:
    """Forward and backward pass of the embedding."""
    return Pass(memory=memory_seconds(10 * job.tokens * job.shape.hidden, gpu=job.gpu))


def output_pass(job: Job) -> Pass:
    """Forward and backward pass of the output layer and the loss, in bf16."""
    rows, hidden = job.shape.vocabulary / job.tensor, job.shape.hidden
    product = product_seconds(job.tokens, rows, hidden, gpu=job.gpu, precision="bf16")
    moved = job.tokens * rows * (14 if job.stack.fused else 26)
    return Pass(products=3 * product, memory=memory_seconds(moved, gpu=job.gpu), tensor=_gather(job, 2.0) * 2)


def _issued(each: Pass, issue: float) -> Pass:
    return each + Pass(launch=max(GAPS_S, issue - each.total))


def _products(job: Job) -> float:
    shape, tokens, ranks = job.shape, job.tokens, job.tensor
    wide = shape.ffn * (2 if shape.gated else 1)
    sizes = (
        (shape.joined / ranks, shape.hidden),
        (shape.hidden, shape.query / ranks),
        (wide / ranks, shape.hidden),
        (shape.hidden, shape.ffn / ranks),
    )
    return sum(product_seconds(tokens, n, k, gpu=job.gpu, precision=job.precision) for n, k in sizes)


def _mlp_share(job: Job) -> float:
    shape = job.shape
    mlp = shape.ffn * (3 if shape.gated else 2)
    return mlp / (mlp + shape.joined + shape.query)


def _attention(job: Job) -> tuple[float, float]:
    forward, backward = attention_seconds(
        tokens=job.tokens,
        length=job.sequence,
        heads=job.shape.heads / job.tensor,
        head_dim=job.shape.head_dim,
        gpu=job.gpu,
        kernel=job.stack.attention,
        skips=job.stack.skips_masked,
    )
    return forward, backward


def _moved(job: Job) -> float:
    """Seconds of a forward pass's operations that are bound by memory."""
    shape, ranks = job.shape, job.tensor
    split = ranks if job.sequence_parallel else 1
    wide = shape.ffn * (3 if shape.gated else 2) / ranks
    values = 10 * shape.hidden / split + 3 * shape.joined / ranks + wide
    values *= BIASES if shape.biases else 1
    values *= UNFUSED if not job.stack.fused else 1
    moved = 2 * values
    if job.precision != "bf16":
        # Every operand is read in bf16 and written twice in the narrow format, along rows and along columns.
        operands = 2 * shape.hidden + shape.query / ranks + shape.ffn / ranks
        moved += operands * CAST_BYTES[job.precision]
    return memory_seconds(job.tokens * moved, gpu=job.gpu)


def _gather(job: Job, value_bytes: float) -> float:
    return gather_seconds(value_bytes * job.tokens * job.shape.hidden, ranks=job.tensor, stride=1, gpu=job.gpu)


def _tensor(job: Job) -> tuple[float, float]:
    """Exposed communication of a layer, forward and backward.

    Each of the two blocks gathers its input, in the format of its products, and scatters its output. So does its
    backward pass, which gathers the input once more for the gradient of the weights.
    """
    scatter, gather = _gather(job, 2.0), _gather(job, min(2.0, OPERAND_BYTES[job.precision]))
    seen = 1 - job.stack.hides_tensor
    again = 2 if job.sequence_parallel else 1
    return 2 * (gather + scatter) * seen, 2 * (again * gather + scatter) * seen


def _context(job: Job, attention: tuple[float, float]) -> tuple[float, float]:
    """Keys and values travel around the ring while attention works on the ones before."""
    if job.context == 1:
        return 0.0, 0.0
    held = 2 * 2.0 * job.tokens * job.shape.groups * job.shape.head_dim / max(1, min(job.tensor, job.shape.groups))
    around = gather_seconds(held * job.context, ranks=job.context, stride=job.tensor, gpu=job.gpu)
    hidden = (job.context - 1) / job.context
    starts = (job.context - 1) * 40e-6
    return (
        max(0.0, around - hidden * attention[0]) + starts,
        max(0.0, 2 * around - hidden * attention[1]) + starts,
    )
