"""megatron-core's parallel linear layers with operands rounded as FP8 would round them, for machines without a GPU.

megatron-core keeps the product, its split over ranks and its communication. It receives a rounded input and a rounded
weight without a gradient, multiplies them in float32 and returns the input's gradient. An autograd function around that
product rounds the output's gradient on its way to megatron-core. The same function computes the weight's gradient, from
operands rounded for it. The output has the layer's dtype; biases are added afterwards, unrounded.

How results depend on the layout, apart from the order of float32 sums:

    Tensor parallel size       Delayed: none, because ranks agree on the scales.
                               Blockwise: none, because no block crosses ranks (`PrecisionConfig.check_shapes`).
                               Tensorwise: each rank scales its own slice, as Transformer Engine does.
    Data parallel size and     Delayed: scales are chosen per micro-batch.
    micro-batch size           Tensorwise: a tensor holds other rows.

Cost: 1.3 times the CPU time of bfloat16 for a 19M model, because products and rounding are in float32. Under sequence
parallelism the input is gathered twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.fp8_utils import is_first_last_bf16_layer
from megatron.core.tensor_parallel import (
    ColumnParallelLinear,
    RowParallelLinear,
    gather_from_sequence_parallel_region,
)
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_layer import get_transformer_layer_offset
from torch import Tensor

from megatron_speech.model.fp8_scaling import E4M3, E5M2, Blockwise, Delayed, Scaling, Tensorwise
from megatron_speech.parallel import groups


def emulate_fp8(layers: Sequence[ModuleSpec], config: TransformerConfig, *, vp_stage: int | None) -> list[ModuleSpec]:
    """This stage's layers with emulated FP8 products, except those that `config` keeps in bfloat16.

    Raises ValueError for activation recomputation, which the emulation does not support.
    """
    if config.recompute_granularity is not None:  # delayed scales would record each operand twice
        raise ValueError(
            f"parallel.recompute_granularity={config.recompute_granularity} needs Transformer Engine's layers and a "
            "GPU; use null with precision.fp8_emulation"
        )
    first = get_transformer_layer_offset(config, vp_stage)
    return [
        layer if is_first_last_bf16_layer(config, first + index) else _emulated(layer)
        for index, layer in enumerate(layers)
    ]


def _emulated(layer: ModuleSpec) -> ModuleSpec:
    attention, mlp = layer.submodules.self_attention, layer.submodules.mlp
    return _with(
        layer,
        self_attention=_with(attention, linear_qkv=EmulatedColumnParallelLinear, linear_proj=EmulatedRowParallelLinear),
        mlp=_with(mlp, linear_fc1=EmulatedColumnParallelLinear, linear_fc2=EmulatedRowParallelLinear),
    )


def _with(spec: ModuleSpec, **submodules: Any) -> ModuleSpec:
    return dataclasses.replace(spec, submodules=dataclasses.replace(spec.submodules, **submodules))


def _scaling(config: TransformerConfig, *, input_group: dist.ProcessGroup | None) -> Scaling:
    """The recipe of `config` for one layer; ranks of `input_group` (if any) split its input along the sequence."""
    backward = E5M2 if config.fp8 == "hybrid" else E4M3
    if config.fp8_recipe == "delayed":
        return Delayed(backward, history_len=config.fp8_amax_history_len, group=groups.amax_group())
    if config.fp8_recipe == "tensorwise":
        return Tensorwise(backward, input_group=input_group)
    assert config.fp8_recipe == "blockwise", config.fp8_recipe
    return Blockwise(backward)


class _Emulated:
    """Mixin that replaces megatron-core's `_forward_impl`, the product of a linear layer, in both kinds of layer."""

    fp8: Scaling
    tp_group: Any

    def _forward_impl(
        self, input: Tensor, weight: Tensor, *, bias: Tensor | None, sequence_parallel: bool, **kwargs: Any
    ) -> Tensor:
        record = torch.is_grad_enabled()
        with torch.no_grad():
            rounded, for_weight_gradient, rounded_weight = self.fp8.operands(input, weight, record=record)
            if sequence_parallel:
                for_weight_gradient = gather_from_sequence_parallel_region(for_weight_gradient, group=self.tp_group)
        product = super()._forward_impl(  # type: ignore[misc]  # of the class that this one is mixed with
            input=_Rounded.apply(input, rounded),
            weight=rounded_weight,
            bias=None,
            sequence_parallel=sequence_parallel,
            **kwargs,
        )
        output: Tensor = _RoundedBackward.apply(product, weight, for_weight_gradient, self.fp8).to(input.dtype)
        return output if bias is None else output + bias


class EmulatedColumnParallelLinear(_Emulated, ColumnParallelLinear):
    """`ColumnParallelLinear` with FP8 operands; under sequence parallelism a rank rounds its part before the gather."""

    def __init__(self, *args: Any, config: TransformerConfig, **kwargs: Any) -> None:
        super().__init__(*args, config=config, **kwargs)
        gathered = self.tp_group if self.sequence_parallel else None
        self.fp8 = _scaling(config, input_group=gathered)


class EmulatedRowParallelLinear(_Emulated, RowParallelLinear):
    """`RowParallelLinear` with FP8 operands."""

    def __init__(self, *args: Any, config: TransformerConfig, **kwargs: Any) -> None:
        super().__init__(*args, config=config, **kwargs)
        self.fp8 = _scaling(config, input_group=None)


class _Rounded(torch.autograd.Function):
    """Forward: returns the rounded values. Backward: passes the gradient through unchanged (straight-through)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        ctx.dtype = values.dtype
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.to(ctx.dtype), None


class _RoundedBackward(torch.autograd.Function):
    """Forward: passes the product through. Backward: rounds its gradient and computes the weight's gradient."""

    @staticmethod
    def forward(ctx: Any, product: Tensor, weight: Tensor, operand: Tensor, scaling: Scaling) -> Tensor:
        ctx.save_for_backward(operand)
        ctx.scaling, ctx.dtype = scaling, weight.dtype
        return product.view_as(product)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (operand,) = ctx.saved_tensors
        rounded, for_weight_gradient = ctx.scaling.gradient(gradient)
        of_weight = for_weight_gradient.flatten(0, -2).t().matmul(operand.flatten(0, -2))
        return rounded, of_weight.to(ctx.dtype), None, None
