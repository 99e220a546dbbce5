"""A training as the planner sees it: a shape, a layout over GPUs, a batch, a precision and a software stack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from megatron_speech.planning.gpus import Gpu
from megatron_speech.planning.parameters import Parameters, stage_parameters
from megatron_speech.planning.shape import Shape
from megatron_speech.planning.stacks import Stack

Recompute = Literal["none", "attention", "mlp", "full"]
Sharding = Literal["none", "optimizer", "gradients", "weights"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One layout of one training."""

    shape: Shape
    sequence: int
    gpu: Gpu
    stack: Stack
    gpus: int
    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1
    """Model chunks per pipeline stage."""
    context: int = 1
    micro_batch: int = 1
    """Rows per rank and forward pass."""
    global_batch: int
    """Rows per optimizer step."""
    precision: str = "bf16"
    """Format of the matrix products of layers; the output layer and attention stay in bf16."""
    recompute: Recompute = "none"
    recompute_layers: int | None = None
    """Layers of the whole model that recompute; None for all."""
    sequence_parallel: bool = True
    sharding: Sharding = "optimizer"
    """What data parallel ranks divide: each choice includes the ones before it."""
    sharded_over: int | None = None
    """Ranks that divide the weights; the other data parallel ranks hold replicas of them. None for all."""
    gradient_bytes: int = 4
    chunk_layers: tuple[int, ...] | None = None
    """Layers of every model chunk, in order; None for equal parts."""
    value_bytes: int = 2
    """Of weights and activations: 2 for bfloat16, whose optimizer keeps float32 copies, or 4 for float32."""
    state_bytes: int = 12
    """Optimizer's bytes per parameter: float32 copy and two moments; less with a precision-aware optimizer."""
    narrow_weights: bool = False
    """Weights of layers exist in the products' format alone, without a bfloat16 original."""
    loss_bytes: int = 6
    """Bytes of the last stage per logit: the logit and its float32 copy, which the gradient overwrites."""
    dropout: bool = False
    """Layers keep dropout masks."""
    keeps_scores: bool = False
    """Attention is not fused: its scores, their softmax and its dropout are kept."""
    deterministic: bool = False
    """Kernels repeat bit by bit, which needs larger workspaces."""

    @property
    def copies(self) -> int:
        """Data parallel size."""
        return self.gpus // (self.tensor * self.pipeline * self.context)

    @property
    def sharers(self) -> int:
        """Ranks over which data parallelism divides what it shards: data x context."""
        return self.copies * self.context

    @property
    def shards(self) -> int:
        """Ranks over which fully sharded weights are divided."""
        return min(self.sharers, self.sharded_over or self.sharers)

    @property
    def micro_batches(self) -> int:
        """Forward passes of a rank per step."""
        return self.global_batch // (self.copies * self.micro_batch)

    @property
    def tokens(self) -> int:
        """Tokens of one micro-batch that a rank holds outside its sequence-parallel parts."""
        return self.micro_batch * self.sequence // self.context

    @property
    def recomputed(self) -> float:
        """Share of the layers that recompute."""
        if self.recompute == "none":
            return 0.0
        return 1.0 if self.recompute_layers is None else min(1.0, self.recompute_layers / self.shape.layers)

    def parameters(self, stage: int) -> Parameters:
        """Parameters of a rank of pipeline stage `stage`."""
        return stage_parameters(self.shape, tensor_size=self.tensor, layers_per_stage=self.stage_layers, stage=stage)

    @property
    def fullest_stages(self) -> list[int]:
        """The stages among which the one with most parameters and the one with most memory are found.

        Of stages with as many layers, an earlier one holds more micro-batches. The first and the last hold more.
        """
        first_of = {layers: stage for stage, layers in reversed(list(enumerate(self.stage_layers)))}
        return sorted({0, self.pipeline - 1, *first_of.values()})

    @cached_property
    def stage_layers(self) -> list[int]:
        """Layers of every pipeline stage. A remainder is taken from the ends, which hold the embedding and the loss."""
        if self.chunk_layers is not None:
            return [sum(self.chunk_layers[stage :: self.pipeline]) for stage in range(self.pipeline)]
        whole, rest = divmod(self.shape.layers, self.pipeline)
        layers = [whole] * self.pipeline
        middle = sorted(range(self.pipeline), key=lambda stage: abs(stage - (self.pipeline - 1) / 2))
        for stage in middle[:rest]:
            layers[stage] += 1
        return layers
