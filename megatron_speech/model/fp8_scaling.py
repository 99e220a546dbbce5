"""FP8 numbers on any machine: how Transformer Engine's recipes scale and round the operands of a matrix product.

A tensor is multiplied by a scale that moves its largest value to FP8's largest, rounded to the nearest FP8 number (ties
to even, what is too large to the largest), and divided by the scale again. Recipes differ in whose largest value it is:

    delayed     the largest of the last micro-batches (`fp8_amax_history_len`), one scale per tensor; starts at scale 1
    tensorwise  the tensor's own, now; one scale per tensor
    blockwise   of 128 values of a row (activations, gradients) or of a 128 x 128 tile (weights), now; powers of two

The weight's gradient sums over tokens, so its operands are scaled along tokens: under blockwise they are rounded a
second time, from the unrounded tensor, in blocks of 128 tokens. Activations and weights are E4M3, gradients E5M2
(hybrid) or E4M3. Everything here runs without gradients; `model.fp8_emulation` puts it into layers.

Price, and where this differs from a GPU: rounded values are kept as float32, four times the memory of FP8; weights are
rounded for every micro-batch, where Transformer Engine keeps the first one's of a step, so that a delayed weight scale
of later micro-batches has seen this step's weight; passes without gradients leave no trace in the history.

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
    """`values` as the FP8 `dtype` holds them under `scale` (which broadcasts), in float32."""
    largest = torch.finfo(dtype).max
    codes = (values.float() * scale).clamp(-largest, largest).to(dtype)
    return codes.float() * scale.reciprocal()


def scale_for(amax: Tensor, dtype: torch.dtype, *, otherwise: Tensor) -> Tensor:
    """The scale that moves `amax` to the largest number of `dtype`; `otherwise` where `amax` is 0 or not finite."""
    # Two tensors, because a number divided by a tensor is that number times a rounded reciprocal.
    scale = (torch.full_like(amax, torch.finfo(dtype).max) / amax).clamp(max=LARGEST_SCALE)
    return torch.where(amax.isfinite() & (amax > 0), scale, otherwise)


def power_of_two_below(scale: Tensor) -> Tensor:
    """The largest power of two that is no larger: the float32 without its 23 bits of mantissa."""
    return (scale.view(torch.int32) & -(1 << 23)).view(torch.float32)


def round_tensor(values: Tensor, dtype: torch.dtype, *, over: dist.ProcessGroup | None = None) -> Tensor:
    """Rounded under one scale, from the largest value now, of all ranks of `over` if given."""
    amax = values.abs().max().float()
    if over is not None:
        dist.all_reduce(amax, dist.ReduceOp.MAX, group=over)
    return round_to(values, dtype, scale=scale_for(amax, dtype, otherwise=torch.ones_like(amax)))


def round_blocks(matrix: Tensor, dtype: torch.dtype, block: tuple[int, int]) -> Tensor:
    """Rounded under one power of two per `block` (rows, columns) of `matrix` [T, K]."""
    (rows, columns), (height, width) = matrix.shape, block
    assert rows % height == columns % width == 0, f"{tuple(matrix.shape)} is not made of whole blocks of {block}"
    tiles = matrix.float().reshape(rows // height, height, columns // width, width)
    amax = tiles.abs().amax(dim=(1, 3), keepdim=True)
    scale = power_of_two_below(scale_for(amax, dtype, otherwise=torch.ones_like(amax)))
    return round_to(tiles, dtype, scale=scale).reshape(matrix.shape)


class Scaling(Protocol):
    """A recipe at work on one linear layer."""

    def operands(self, x: Tensor, weight: Tensor, *, record: bool) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., K] and weight [N, K] as (x for the product, x for the weight's gradient, weight), float32.

        `record`: this pass will be learnt from, so that a recipe with a memory remembers it.
        """

    def gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Output's gradient [..., N] as (for the input's gradient, for the weight's gradient), float32."""


class Tensorwise(nn.Module):
    """One scale per tensor, from its largest value now.

    Under tensor parallelism a rank scales its own slice by itself. Only a tensor that is about to be gathered needs
    the scale of the whole: `input_group` names the ranks among which the input is.
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
    """One power of two per block, from its largest value now; a rank needs to know nothing of the others."""

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

    The history is state of the run: two buffers, equal on all ranks that share the layer (the largest values are
    reduced over `group`: tensor, context and data parallel ranks), hence saved in checkpoints as one tensor each and
    good in every layout.
    """

    STATE = ("fp8.amax_history", "fp8.scale")
    """How the names of the buffers end, in a layer that keeps this module as `fp8`."""

    amax_history: Tensor
    """[3 (INPUT, WEIGHT, GRADIENT), micro-batches], the newest last."""
    scale: Tensor
    """[3]."""

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
        """Push the largest value of each tensor into its history, the newest last, and rescale for the next use."""
        newest = torch.stack([values.abs().max().float() for values in tensors.values()])
        if self._group is not None and dist.get_world_size(self._group) > 1:
            dist.all_reduce(newest, dist.ReduceOp.MAX, group=self._group)
        for which, amax in zip(tensors, newest, strict=True):
            self.amax_history[which] = torch.cat([self.amax_history[which, 1:], amax[None]])
            largest = self.amax_history[which].max()
            self.scale[which] = scale_for(largest, self._dtypes[which], otherwise=self.scale[which])
