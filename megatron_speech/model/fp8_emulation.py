"""megatron-core's parallel linear layers with operands rounded as FP8 would round them, for machines without a GPU.

The product, its split over ranks and its communication stay the library's: it is handed a rounded input and a rounded
weight that asks for no gradient, multiplies them in float32 and sends back the input's gradient. Around that, one
autograd function rounds the output's gradient before the library sees it and computes the weight's gradient from the
operands rounded for it. The result goes on in the layer's own dtype; biases are added outside, unrounded.

Equal to one rank, apart from the order of float32 sums, whatever the tensor parallel size: delayed (its scales are
agreed on) and blockwise (no block reaches over a rank's edge, `PrecisionConfig.check_shapes`). Not tensorwise: a rank
scales its own slice of weights and of split activations, as Transformer Engine does. Data parallel size and micro-batch
size change delayed scales (they are chosen per micro-batch) and tensorwise ones (a tensor holds other rows).

Price: products in float32 and roundings of all their operands, 1.3 times the CPU time of bfloat16 for a 19M model, and
the input is gathered twice under sequence parallelism.
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

    ValueError for a setting that the emulation does not know and would therefore ignore.
    """
    if config.recompute_granularity is not None:  # would count the operands of a product twice
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
    """The recipe of `config` for one layer, whose input `input_group` (if any) shares along the sequence."""
    backward = E5M2 if config.fp8 == "hybrid" else E4M3
    if config.fp8_recipe == "delayed":
        return Delayed(backward, history_len=config.fp8_amax_history_len, group=groups.amax_group())
    if config.fp8_recipe == "tensorwise":
        return Tensorwise(backward, input_group=input_group)
    assert config.fp8_recipe == "blockwise", config.fp8_recipe
    return Blockwise(backward)


class _Emulated:
    """What both kinds of layer do in the place where the library multiplies."""

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
        product = super()._forward_impl(  # type: ignore[misc]
            input=_Rounded.apply(input, rounded),
            weight=rounded_weight,
            bias=None,
            sequence_parallel=sequence_parallel,
            **kwargs,
        )
        output = _RoundedBackward.apply(product, weight, for_weight_gradient, self.fp8).to(input.dtype)
        return output if bias is None else output + bias


class EmulatedColumnParallelLinear(_Emulated, ColumnParallelLinear):
    """`ColumnParallelLinear` with FP8 operands; under sequence parallelism its input is split until it is gathered."""

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
    """Rounded values forward; backward the gradient passes as if nothing had been rounded."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        ctx.dtype = values.dtype
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient.to(ctx.dtype), None


class _RoundedBackward(torch.autograd.Function):
    """The product forward; backward its gradient is rounded for the input's, and the weight's gradient is computed."""

    @staticmethod
    def forward(ctx: Any, product: Tensor, weight: Tensor, operand: Tensor, scaling: Scaling) -> Tensor:
        ctx.save_for_backward(operand)
        ctx.scaling, ctx.dtype = scaling, weight.dtype
        return product.view_as(product)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        (operand,) = ctx.saved_tensors
        rounded, for_weight_gradient = ctx.scaling.gradient(gradient)
        of_weight = for_weight_gradient.flatten(0, -2).t().matmul(operand.flatten(0, -2))
        return rounded, of_weight.to(ctx.dtype), None, None
