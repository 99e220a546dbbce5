"""Time of single kernels by a roofline: a matrix product, fused attention, and an operation bound by memory.

A matrix product of m x k by k x n takes the longer of computing and moving its operands. Computing runs at the rate
that large products were measured to keep up, less two losses. The last wave of output tiles leaves multiprocessors
idle. And each tile starts and ends with work that grows with the rate of a multiprocessor, not with k.
"""

from __future__ import annotations

import math

from megatron_speech.planning.gpus import Gpu

TILE = 128 * 256
"""Output values of a tile."""
RAMP = 250.0
"""Depth k that the start and end of a tile cost on an H100 in bf16; other chips in proportion to a tile's rate."""
MEMORY_SHARE = 0.90
"""Share of the data sheet's bandwidth that streaming kernels reach."""
OPERAND_BYTES = {"bf16": 2.0, "fp8": 1.0, "mxfp8": 1.03, "nvfp4": 0.56}
"""Bytes of an operand's value with its scale."""
ATTENTION_SHARE = {
    ("vendor", "ampere"): (0.85, 0.65),
    ("vendor", "hopper"): (1.0, 0.75),
    ("vendor", "blackwell"): (1.0, 0.75),
    ("flash2", "ampere"): (0.85, 0.65),
    ("flash2", "hopper"): (0.60, 0.42),
    ("flash2", "blackwell"): (0.35, 0.25),
}
"""Rate of the products inside fused attention over that of large bf16 products, forward and backward."""
EXPONENTIALS_SEEN = {"vendor": 0.6, "flash2": 1.0}
"""Share of the exponentials' time that products do not hide."""
_H100_RATE = 989.4e12 / 132


def product_seconds(m: float, n: float, k: float, *, gpu: Gpu, precision: str, output_bytes: float = 2.0) -> float:
    """Time of one matrix product on one GPU."""
    tiles = math.ceil(m / 128) * math.ceil(n / 256)
    waves = tiles / gpu.multiprocessors
    # Libraries choose among tile sizes and cut along k, which mends half of the last wave's loss.
    full = 0.5 + 0.5 * waves / math.ceil(waves)
    ramp = RAMP * gpu.peak(precision) / gpu.multiprocessors / _H100_RATE
    rate = gpu.matrix_rate(precision) * full * k / (k + ramp)
    moved = (m * k + k * n) * OPERAND_BYTES[precision] + m * n * output_bytes
    return max(2 * m * n * k / rate, moved / (gpu.memory_gb_s * 1e9 * MEMORY_SHARE))


def attention_seconds(
    *, tokens: float, length: float, heads: float, head_dim: int, gpu: Gpu, kernel: str, skips: bool
) -> tuple[float, float]:
    """Time of causal attention over `tokens` that each see `length` / 2 keys on average: forward, backward."""
    scores = (0.5 if skips else 1.0) * tokens * (length + 256) * heads  # tiles on the diagonal are half masked
    forward, backward = ATTENTION_SHARE[kernel, gpu.architecture]
    rate, exponentials = gpu.matrix_rate("bf16"), EXPONENTIALS_SEEN[kernel] * scores / (gpu.exponentials * 1e12)
    return (
        4 * head_dim * scores / (rate * forward) + exponentials,
        10 * head_dim * scores / (rate * backward) + exponentials,
    )


def memory_seconds(moved: float, *, gpu: Gpu) -> float:
    """Time to read and write so many bytes of the GPU's memory."""
    return moved / (gpu.memory_gb_s * 1e9 * MEMORY_SHARE)
