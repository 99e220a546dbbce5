"""Time of communication between GPUs: over NVLink within a node, and over one network adapter per GPU between nodes.

A gather or a scatter of B bytes over n ranks moves B (n - 1) / n through every rank. Ranks that share a node share its
adapters' work: of n ranks with g in each node, g adapters carry what the whole node needs. Data pass through a ring of
all ranks, so every rank adds a delay to every call. With hundreds of nodes the delays outweigh the bytes of a layer.
"""

from __future__ import annotations

from megatron_speech.planning.gpus import Gpu

NVLINK_SHARE = 0.85
"""Share of NVLink's rate that collectives reach."""
NETWORK_SHARE = 0.90
"""Share of the adapter's rate that collectives reach between two nodes."""
NVLINK_START_S = 8e-6
NETWORK_START_S = 25e-6
NVLINK_HOP_S, NETWORK_HOP_S = 3.4e-6, 14e-6
"""What each rank of a node, and each node, adds to a ring: NCCL's own tuning table, protocol "Simple"."""


def gather_seconds(total: float, *, ranks: int, stride: int, gpu: Gpu, calls: float = 1.0) -> float:
    """Time to gather, or to reduce and scatter, `total` bytes in so many calls.

    The `ranks` lie `stride` apart in rank order.
    """
    if ranks == 1:
        return 0.0
    inside = min(ranks, max(1, gpu.node // stride))
    moved = total * (ranks - 1) / ranks
    nvlink = gpu.nvlink_gb_s * 1e9 * NVLINK_SHARE
    if inside == ranks:
        return calls * NVLINK_START_S + moved / nvlink
    nodes = ranks / inside
    rate = inside * gpu.network_gb_s * 1e9 * NETWORK_SHARE
    start = NETWORK_START_S + nodes * (NETWORK_HOP_S + (inside - 1) * NVLINK_HOP_S)
    return calls * start + moved / min(nvlink, rate)


def send_seconds(total: float, *, stride: int, gpu: Gpu) -> float:
    """Time to send `total` bytes to the rank that lies `stride` further."""
    if stride < gpu.node:
        return NVLINK_START_S + total / (gpu.nvlink_gb_s * 1e9 * NVLINK_SHARE)
    return NETWORK_START_S + total / (gpu.network_gb_s * 1e9 * NETWORK_SHARE)
