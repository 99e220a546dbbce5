"""Rounds the operands of a matrix product to FP8 numbers as Transformer Engine's recipes do, on any machine.

A tensor is multiplied by a scale that moves its largest absolute value (amax) to the largest FP8 number. It is then
rounded to the nearest FP8 number (ties to even, overflow to the largest) and divided by the scale. Recipes differ in
which values the maximum is taken over:

    delayed     The same tensor in the last `fp8_amax_history_len` micro-batches. One scale per tensor, 1 at the start.
    tensorwise  The current tensor. One scale per tensor.
    blockwise   128 values of a row (activations, gradients) or a 128 x 128 tile (weights). Scales are powers of two.

The weight's gradient sums over tokens. So blockwise rounds its operands again, from the unrounded tensor, in blocks of
128 tokens. Activations and weights are E4M3; gradients are E5M2 (hybrid) or E4M3. Nothing here needs gradients;
`model.fp8_emulation` puts the recipes into layers.

Differences from a GPU:
- Rounded values are kept as float32, which takes four times the memory of FP8.
- Weights are rounded for every micro-batch; Transformer Engine keeps those of a step's first. So a delayed scale of a
  later micro-batch has already seen this step's weight.
- Passes without gradients are not recorded in the history.

Letters: T tokens, K and N features of a product [T, K] x [K, N].
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
BLOCK = 128
LARGEST_SCALE = torch.finfo(torch.float32).max


def round_to(values: Tensor, dtype: torch.dtype, *, scale: Tensor) -> Tensor:
    """`values` times `scale` (which broadcasts), rounded to the FP8 `dtype` and scaled back; float32."""
    largest = torch.finfo(dtype).max
    codes = (values.float() * scale).clamp(-largest, largest).to(dtype)
    return codes.float() * scale.reciprocal()


def scale_for(amax: Tensor, dtype: torch.dtype, *, otherwise: Tensor) -> Tensor:
    """The scale that moves `amax` to the largest number of `dtype`; `otherwise` where `amax` is 0 or not finite."""
    # Dividing two tensors rounds once. A Python number divided by a tensor is multiplied by a rounded reciprocal.
    scale = (torch.full_like(amax, torch.finfo(dtype).max) / amax).clamp(max=LARGEST_SCALE)
    return torch.where(amax.isfinite() & (amax > 0), scale, otherwise)


def power_of_two_below(scale: Tensor) -> Tensor:
    """The largest power of two that is not above `scale`: the float32 with its 23 mantissa bits cleared."""
    return (scale.view(torch.int32) & -(1 << 23)).view(torch.float32)


def round_tensor(values: Tensor, dtype: torch.dtype, *, over: dist.ProcessGroup | None = None) -> Tensor:
    """`values` rounded with one scale from their largest absolute value, taken over all ranks of `over` if given."""
    amax = values.abs().max().float()
    if over is not None:
        dist.all_reduce(amax, dist.ReduceOp.MAX, group=over)
    return round_to(values, dtype, scale=scale_for(amax, dtype, otherwise=torch.ones_like(amax)))


def round_blocks(matrix: Tensor, dtype: torch.dtype, block: tuple[int, int]) -> Tensor:
    """`matrix` [T, K] rounded with one scale, a power of two, per `block` (rows, columns)."""
    (rows, columns), (height, width) = matrix.shape, block
    assert rows % height == columns % width == 0, f"{tuple(matrix.shape)} is not made of whole blocks of {block}"
    tiles = matrix.float().reshape(rows // height, height, columns // width, width)
    amax = tiles.abs().amax(dim=(1, 3), keepdim=True)
    scale = power_of_two_below(scale_for(amax, dtype, otherwise=torch.ones_like(amax)))
    return round_to(tiles, dtype, scale=scale).reshape(matrix.shape)


class Scaling(Protocol):
    """An FP8 recipe, applied to the operands of one linear layer."""

    def operands(self, x: Tensor, weight: Tensor, *, record: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Round x [..., K] and weight [N, K]: (x for the product, x for the weight's gradient, weight), float32.

        `record` is True in passes with gradients; the delayed recipe then adds their largest values to its history.
        """

    def gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Round the output's gradient [..., N]: (for the input's gradient, for the weight's gradient), float32."""


class Tensorwise(nn.Module):
    """One scale per tensor, from its current largest value.

    Under tensor parallelism each rank scales its own slice. Only an input that will be gathered needs one scale for all
    its parts: `input_group` holds the ranks that share the input (None: not shared).
    """

    def __init__(self, backward: torch.dtype, *, input_group: dist.ProcessGroup | None) -> None:
        super().__init__()
        self._backward = backward
        self._input_group = input_group

    def operands(self, x: Tensor, weight: Tensor, *, record: bool) -> tuple[Tensor, Tensor, Tensor]:
        """See `Scaling`: the input is rounded once, for both of its products."""
        rounded = round_tensor(x, E4M3, over=self._input_group)
        return rounded, rounded, round_tensor(weight, E4M3)

    def gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """See `Scaling`: rounded once, for both products."""
        rounded = round_tensor(gradient, self._backward)
        return rounded, rounded


class Blockwise(nn.Module):
    """One power of two per block, from its current largest value; ranks need no communication."""

    def __init__(self, backward: torch.dtype) -> None:
        super().__init__()
        self._backward = backward

    def operands(self, x: Tensor, weight: Tensor, *, record: bool) -> tuple[Tensor, Tensor, Tensor]:
        """See `Scaling`: the input is rounded twice, in blocks along each of its two sides."""
        return *self._both_ways(x, E4M3), round_blocks(weight, E4M3, (BLOCK, BLOCK))

    def gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """See `Scaling`: rounded twice, in blocks along each of its two sides."""
        return self._both_ways(gradient, self._backward)

    @staticmethod
    def _both_ways(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        matrix = values.flatten(0, -2)
        along_features, along_tokens = (round_blocks(matrix, dtype, block) for block in ((1, BLOCK), (BLOCK, 1)))
        return along_features.view_as(values), along_tokens.view_as(values)


INPUT, WEIGHT, GRADIENT = range(3)


class Delayed(nn.Module):
    """One scale per tensor, from the largest values of earlier micro-batches.

    The history is part of the run's state. Its two buffers are equal on all ranks that share the layer, because largest
    values are reduced over `group` (tensor, context and data parallel ranks). So a checkpoint saves each buffer as one
    tensor, which any layout can load.
    """

    STATE = ("fp8.amax_history", "fp8.scale")
    """Suffixes of the buffers' names, in a layer that keeps this module as `fp8`."""

    amax_history: Tensor
    """[3 (INPUT, WEIGHT, GRADIENT), micro-batches], the newest last."""
    scale: Tensor
    """[3 (INPUT, WEIGHT, GRADIENT)], the scales of the next micro-batch."""

    def __init__(self, backward: torch.dtype, *, history_len: int, group: dist.ProcessGroup | None) -> None:
        super().__init__()
        self._dtypes = (E4M3, E4M3, backward)
        self._group = group
        self.register_buffer("amax_history", torch.zeros(3, history_len))
        self.register_buffer("scale", torch.ones(3))

    def operands(self, x: Tensor, weight: Tensor, *, record: bool) -> tuple[Tensor, Tensor, Tensor]:
        """See `Scaling`: rounded under the scales of earlier passes, which `record` updates."""
        rounded = self._round(INPUT, x)
        weight_rounded = self._round(WEIGHT, weight)
        if record:
            self._record({INPUT: x, WEIGHT: weight})
        return rounded, rounded, weight_rounded

    def gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """See `Scaling`: rounded under the scale of earlier passes, which is then updated."""
        rounded = self._round(GRADIENT, gradient)
        self._record({GRADIENT: gradient})
        return rounded, rounded

    def _round(self, which: int, values: Tensor) -> Tensor:
        return round_to(values, self._dtypes[which], scale=self.scale[which])

    def _record(self, tensors: dict[int, Tensor]) -> None:
        """Append the largest value of each tensor to its history and set the scale for the next micro-batch."""
        newest = torch.stack([values.abs().max().float() for values in tensors.values()])
        if self._group is not None and dist.get_world_size(self._group) > 1:
            dist.all_reduce(newest, dist.ReduceOp.MAX, group=self._group)
        for which, amax in zip(tensors, newest, strict=True):
            self.amax_history[which] = torch.cat([self.amax_history[which, 1:], amax[None]])
            largest = self.amax_history[which].max()
            self.scale[which] = scale_for(largest, self._dtypes[which], otherwise=self.scale[which])
