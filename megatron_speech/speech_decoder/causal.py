"""Causal layers: what they compute for a frame depends on it and on earlier ones alone.

They keep the last inputs of a stream in a `Past`. So a sequence may arrive in pieces of any length, and the outputs
are those of the whole, to rounding. A whole sequence is a stream that arrives at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Shape letters: B batch, T positions in time, C channels.


class Past:
    """What the layers of one network have read of one stream: the last inputs of each. Bounded by their reach."""

    def __init__(self) -> None:
        self._last: dict[nn.Module, Tensor] = {}

    def join(self, layer: nn.Module, x_BTC: Tensor, *, reach: int) -> Tensor:
        """Put the last `reach` inputs of `layer` before its new ones, zeros at the beginning: [B, reach + T, C]."""
        before = self._last.get(layer)
        if before is None:
            before = x_BTC.new_zeros(x_BTC.shape[0], reach, x_BTC.shape[2])
        joined = torch.cat([before, x_BTC], dim=1)
        self._last[layer] = joined[:, joined.shape[1] - reach :].clone()  # a view would keep all of the piece
        return joined

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept between two pieces."""
        return sum(last.numel() * last.element_size() for last in self._last.values())


class CausalConv(nn.Module):
    """A convolution over the present and the past: [B, T, C_in] -> [B, T, C_out]."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.convolve = nn.Conv1d(channels_in, channels_out, kernel_size, dilation=dilation)

    def forward(self, x_BTC: Tensor, past: Past) -> Tensor:
        """Continue the stream of `past` by x [B, T, C_in], T > 0."""
        made: Tensor = self.convolve(past.join(self, x_BTC, reach=self.reach).transpose(1, 2))
        return made.transpose(1, 2)


class ResidualConv(nn.Module):
    """x + project(gelu(convolve(modulate(norm(x))))) over [B, T, C]."""

    def __init__(self, channels: int, *, kernel_size: int, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.convolve = CausalConv(channels, channels, kernel_size=kernel_size, dilation=dilation)
        self.project = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTC: Tensor, past: Past, modulation: Tensor | None = None) -> Tensor:
        """Continue the stream of `past` by x; `modulation` [B, 1, 2 x C] scales and shifts the normalised input."""
        inner = self.norm(x_BTC)
        if modulation is not None:
            scale, shift = modulation.chunk(2, dim=-1)
            inner = inner * (1 + scale) + shift
        change: Tensor = self.project(self.dropout(nn.functional.gelu(self.convolve(inner, past))))
        return x_BTC + change
