"""Attention of generation over a cache of slots: of one new token per row, and of pieces of several tokens.

Each row keeps its tokens in columns 0, 1, ... of a slot. New tokens first store their keys and values there, and then
attend to all columns up to their own. One token per row is the common case: rows are processed in chunks, and a chunk
reads as many columns as its longest row has. Longer pieces are processed one by one.

Shapes: N tokens, S tokens of a piece, B rows, C columns of a slot, T columns read.
Heads: H query heads, G groups (key heads), Q = H / G, W width of a head, I = H + 2 G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ROWS = 16  # rows of one attention call, which reads as many columns as the longest of them has
QUERY_ROWS = 512  # tokens of a piece with history in one attention call; bounds the memory of its mask


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Tokens, at least one, that are appended to a slot."""

    slot: int
    start: int
    """Number of tokens that the slot already holds: the column of the first new one."""
    tokens: Sequence[int]

    @property
    def end(self) -> int:
        """Number of tokens in the slot afterwards."""
        return self.start + len(self.tokens)

    @property
    def is_step(self) -> bool:
        """True for one token that follows others."""
        return self.start > 0 and len(self.tokens) == 1


class Chunk(NamedTuple):
    """Rows in consecutive slots that share an attention call."""

    rows: slice
    slots: slice
    mask_b11T: Tensor
    """Added to the attention scores: 0 for columns in use, else minus infinity."""


def chunks_of(slots: Sequence[int], columns: Sequence[int], *, like: Tensor) -> list[Chunk]:
    """Group rows into chunks: at most `CHUNK_ROWS` rows, in consecutive slots; masks are as `like`."""
    chunks, first = [], 0
    for end in range(1, len(slots) + 1):
        if end < len(slots) and end - first < CHUNK_ROWS and slots[end] == slots[end - 1] + 1:
            continue
        columns_b = torch.tensor(columns[first:end], device=like.device)
        unused_bT = torch.arange(max(columns[first:end]) + 1, device=like.device) > columns_b[:, None]
        mask_bT = like.new_zeros(unused_bT.shape).masked_fill_(unused_bT, -torch.inf)
        slots_b = slice(slots[first], slots[end - 1] + 1)
        chunks.append(Chunk(rows=slice(first, end), slots=slots_b, mask_b11T=mask_bT[:, None, None]))
        first = end
    return chunks


@dataclass(frozen=True, kw_only=True)
class StepAttention:
    """Attention of each row's new token over its slot."""

    groups: int
    slots_B: Tensor
    columns_B: Tensor
    chunks: Sequence[Chunk]

    def __call__(self, states: Tensor, qkv_BIW: Tensor) -> Tensor:
        """Outputs [B, H W]; stores keys and values in the layer's `states` [slots, 2 G, C, W] first."""
        heads = qkv_BIW.shape[1] - 2 * self.groups
        states[self.slots_B, :, self.columns_B] = qkv_BIW[:, heads:]
        q_BGQW = qkv_BIW[:, :heads].unflatten(1, (self.groups, -1))
        seen = []
        for chunk in self.chunks:
            mask = chunk.mask_b11T
            k_BGTW, v_BGTW = states[chunk.slots, :, : mask.shape[-1]].split(self.groups, dim=1)
            seen.append(F.scaled_dot_product_attention(q_BGQW[chunk.rows], k_BGTW, v_BGTW, attn_mask=mask))
        return torch.cat(seen).flatten(1)


@dataclass(frozen=True, kw_only=True)
class PieceAttention:
    """Causal attention of each piece over its slot, history included."""

    groups: int
    pieces: Sequence[Piece]

    def __call__(self, states: Tensor, qkv_NIW: Tensor) -> Tensor:
        """Outputs [N, H W]; stores keys and values in the layer's `states` [slots, 2 G, C, W] first."""
        heads = qkv_NIW.shape[1] - 2 * self.groups
        seen = []
        for piece, qkv_SIW in zip(
            self.pieces, qkv_NIW.split([len(piece.tokens) for piece in self.pieces]), strict=True
        ):
            qkv_ISW = qkv_SIW.transpose(0, 1)
            states[piece.slot, :, piece.start : piece.end] = qkv_ISW[heads:]
            if piece.start:
                slot_ICW = states[piece.slot, :, : piece.end]
                seen_HSW = _over_history(qkv_ISW[:heads], *slot_ICW.split(self.groups), start=piece.start)
            else:
                q_HSW, k_GSW, v_GSW = qkv_ISW[None].split([heads, self.groups, self.groups], dim=1)
                seen_HSW = F.scaled_dot_product_attention(q_HSW, k_GSW, v_GSW, is_causal=True, enable_gqa=True)[0]
            seen.append(seen_HSW.transpose(0, 1).flatten(1))
        return torch.cat(seen)


def _over_history(q_HSW: Tensor, k_GTW: Tensor, v_GTW: Tensor, *, start: int) -> Tensor:
    """Outputs [H, S, W] of queries in columns `start`, `start` + 1, ...; T columns end with that of the last query."""
    seen = []
    for first in range(0, q_HSW.shape[1], QUERY_ROWS):
        q_HsW = q_HSW[None, :, first : first + QUERY_ROWS]
        end = start + first + q_HsW.shape[2]
        mask_sT = torch.ones(q_HsW.shape[2], end, dtype=torch.bool, device=q_HsW.device).tril(start + first)
        k_GtW, v_GtW = k_GTW[None, :, :end], v_GTW[None, :, :end]
        seen.append(F.scaled_dot_product_attention(q_HsW, k_GtW, v_GtW, attn_mask=mask_sT, enable_gqa=True)[0])
    return torch.cat(seen, dim=1)


@dataclass(frozen=True, kw_only=True)
class MixedAttention:
    """Attention of a pass whose first tokens are single ones, whose others are pieces."""

    steps: StepAttention
    pieces: PieceAttention

    def __call__(self, states: Tensor, qkv_NIW: Tensor) -> Tensor:
        """Outputs [N, H W]; stores keys and values in the layer's `states` first."""
        num_steps = len(self.steps.slots_B)
        first_BX = self.steps(states, qkv_NIW[:num_steps])
        return torch.cat([first_BX, self.pieces(states, qkv_NIW[num_steps:])])
