"""The forward pass of generation: appends one or several tokens to each row, with a key-value cache.

It computes what transformers computes, with less work. The query heads of a group are treated as several queries of one
head, so keys and values are not repeated. Prompts are concatenated without padding. After its attention, the last layer
continues with the last position of each prompt only. The output head may hold the rows of the allowed ids only.

It supports the families that this project exports (Llama, Qwen2, Qwen3, GLM-4) and refuses others. All have RMSNorm,
gated SiLU, rotary positions and grouped queries. GLM rotates neighbouring dimensions, and only some. The rows of its
query and key matrices are reordered at loading. So every family rotates the first half of a head against the second.
Products of queries and keys stay the same.

Cost: a second forward pass beside that of transformers, which tests compare for every family. The query, key, value,
gate and up matrices are stored twice.

Shapes: N tokens, B rows, D width, F width of the MLP, V vocabulary, A allowed ids.
Heads: H query heads, G groups (key heads), W width of a head, P = W / 2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from megatron_speech.checkpoint.hf_config import refuse_other_architectures
from megatron_speech.inference.attention import (
    Chunk,
    MixedAttention,
    Piece,
    PieceAttention,
    StepAttention,
    chunks_of,
)
from megatron_speech.inference.cache import SlotCache

# (a layer's states in the cache, queries, keys and values of every token [N, H + 2 G, W]) -> attention outputs [N, H W]
Attention = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Weights of one layer, concatenated and reordered for the forward pass."""

    norm_D: Tensor
    qkv_XD: Tensor
    """Queries, keys, values: X = (H + 2 G) W."""
    qkv_bias_X: Tensor | None
    qk_norm_JW: Tensor | None
    """Norm weights of queries and keys, J = H + G."""
    out_DX: Tensor
    mlp_norm_D: Tensor
    gate_up_ED: Tensor
    """Gate matrix, then up matrix: E = 2 F."""
    down_DF: Tensor


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Weights of a decoder-only model with its passes: `append`, and `read` and `extend` for bulk generation."""

    embedding_VD: Tensor
    layers: list[Layer]
    norm_D: Tensor
    head_AD: Tensor
    frequencies_P: Tensor
    """Radians per position; 0 for dimensions that are not rotated."""
    heads: int
    groups: int
    epsilon: float

    @classmethod
    def of(cls, network: PreTrainedModel, *, ids_A: Tensor | None = None) -> Decoder:
        """Take the weights of `network`, with the rows `ids_A` of its head. Raises ValueError for other families."""
        config = network.config
        family = refuse_other_architectures(config, holder=config.name_or_path or "the model")
        heads, groups = config.num_attention_heads, config.num_key_value_heads
        inner: Any = network.get_decoder()
        rotated = 2 * len(inner.rotary_emb.inv_freq)
        width = inner.layers[0].self_attn.head_dim
        order_W = _half_against_half(width, rotated=rotated, neighbours=family.rotary_interleaved)
        head: Any = network.get_output_embeddings()
        with torch.inference_mode():
            return cls(
                embedding_VD=inner.embed_tokens.weight,
                layers=[_layer(layer, heads=heads, groups=groups, order_W=order_W) for layer in inner.layers],
                norm_D=inner.norm.weight,
                head_AD=head.weight if ids_A is None else head.weight[ids_A],
                frequencies_P=F.pad(inner.rotary_emb.inv_freq.float(), (0, (width - rotated) // 2)),
                heads=heads,
                groups=groups,
                epsilon=config.rms_norm_eps,
            )

    def cache(self, slots: int, *, limit: int = sys.maxsize) -> SlotCache:
        """Create an empty cache for `slots` rows of at most `limit` tokens."""
        return SlotCache.empty(
            layers=len(self.layers),
            slots=slots,
            groups=self.groups,
            width=2 * len(self.frequencies_P),
            limit=limit,
            like=self.embedding_VD,
        )

    @torch.inference_mode()
    def append(self, pieces: Sequence[Piece], *, cache: SlotCache) -> Tensor:
        """States [B, D] after the last token of each piece, for `logits`; fills the slots in `cache`.

        Pieces must lie in different slots. One pass may read prompts, go on with contexts and add single tokens.
        """
        cache.hold(max(piece.end for piece in pieces))
        # Single tokens come first, by slot, so that they share attention calls.
        order = sorted(range(len(pieces)), key=lambda n: (0, pieces[n].slot) if pieces[n].is_step else (1, n))
        pieces, num_steps = [pieces[n] for n in order], sum(piece.is_step for piece in pieces)
        states_BD = self._states(
            [token for piece in pieces for token in piece.tokens],
            self._tensor([column for piece in pieces for column in range(piece.start, piece.end)]),
            cache=cache,
            attend=self._attention(pieces[:num_steps], pieces[num_steps:]),
            last_B=self._tensor([len(piece.tokens) for piece in pieces]).cumsum(0) - 1,
        )
        return states_BD if order == sorted(order) else states_BD[self._tensor(order).argsort()]

    def read(self, prompts: Sequence[Sequence[int]], *, cache: SlotCache, slots: Sequence[int]) -> Tensor:
        """Logits [B, A] of the token after each prompt; fills the slot of each prompt in `cache`."""
        pieces = [Piece(slot=slot, start=0, tokens=prompt) for slot, prompt in zip(slots, prompts, strict=True)]
        return self.logits(self.append(pieces, cache=cache))

    @torch.inference_mode()
    def extend(
        self, tokens: Sequence[int], *, cache: SlotCache, slots: Sequence[int], columns: Sequence[int]
    ) -> Tensor:
        """Logits [B, A] after appending one token to each of `slots`, at its place in `columns`.

        Rows in consecutive slots share an attention call, which is fastest for rows of similar length.
        """
        cache.hold(max(columns) + 1)
        attend = self._step_attention(slots, columns)
        return self.logits(self._states(tokens, attend.columns_B, cache=cache, attend=attend))

    @torch.inference_mode()
    def logits(self, states_BD: Tensor, head_AD: Tensor | None = None) -> Tensor:
        """Logits [B, A] of states that `append` gives, by `head_AD` or else by the head of this decoder."""
        return F.linear(self._normed(states_BD, self.norm_D), self.head_AD if head_AD is None else head_AD)

    def chunks(self, slots: Sequence[int], columns: Sequence[int]) -> list[Chunk]:
        """The attention calls of `extend`."""
        return chunks_of(slots, columns, like=self.head_AD)

    def _attention(self, steps: Sequence[Piece], others: Sequence[Piece]) -> Attention:
        """Attention of single tokens and of the pieces after them; either may be none."""
        over_pieces = PieceAttention(groups=self.groups, pieces=others)
        if not steps:
            return over_pieces
        over_steps = self._step_attention([piece.slot for piece in steps], [piece.start for piece in steps])
        return MixedAttention(steps=over_steps, pieces=over_pieces) if others else over_steps

    def _step_attention(self, slots: Sequence[int], columns: Sequence[int]) -> StepAttention:
        return StepAttention(
            groups=self.groups,
            slots_B=self._tensor(slots),
            columns_B=self._tensor(columns),
            chunks=self.chunks(slots, columns),
        )

    def _states(
        self,
        tokens: Sequence[int],
        positions_N: Tensor,
        *,
        cache: SlotCache,
        attend: Attention,
        last_B: Tensor | None = None,
    ) -> Tensor:
        """States after the last layer, of the tokens `last_B` or of all."""
        hidden_ND = F.embedding(self._tensor(tokens), self.embedding_VD)
        rotation = self._rotation(positions_N)
        for layer, states in zip(self.layers, cache.states, strict=True):
            keep_B = last_B if layer is self.layers[-1] else None
            hidden_ND = self._pass(layer, hidden_ND, rotation=rotation, attend=partial(attend, states), keep_B=keep_B)
        return hidden_ND

    def _pass(
        self,
        layer: Layer,
        hidden_ND: Tensor,
        *,
        rotation: tuple[Tensor, Tensor],
        attend: Callable[[Tensor], Tensor],
        keep_B: Tensor | None = None,
    ) -> Tensor:
        """Apply one layer in place; with `keep_B`, go on with these tokens only after the attention."""
        # Queries, keys and values, normalised and rotated.
        normed_ND = self._normed(hidden_ND, layer.norm_D)
        qkv_NIW = F.linear(normed_ND, layer.qkv_XD, layer.qkv_bias_X).unflatten(1, (self.heads + 2 * self.groups, -1))
        qk_NJW = qkv_NIW[:, : self.heads + self.groups]
        if layer.qk_norm_JW is not None:
            qk_NJW.copy_(self._normed(qk_NJW, None).mul_(layer.qk_norm_JW))
        cos_N1W, sin_N1W = rotation
        turned_NJW = qk_NJW.roll(qk_NJW.shape[-1] // 2, dims=-1)
        qk_NJW.mul_(cos_N1W).addcmul_(turned_NJW, sin_N1W)
        # Attention.
        seen_NX = attend(qkv_NIW)
        if keep_B is not None:
            hidden_ND, seen_NX = hidden_ND[keep_B], seen_NX[keep_B]
        hidden_ND.addmm_(seen_NX, layer.out_DX.T)
        # MLP.
        normed_ND = self._normed(hidden_ND, layer.mlp_norm_D)
        gate_NF, up_NF = F.linear(normed_ND, layer.gate_up_ED).chunk(2, dim=-1)
        return hidden_ND.addmm_(F.silu(gate_NF, inplace=True).mul_(up_NF), layer.down_DF.T)

    def _rotation(self, positions_N: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines [N, 1, W]; a head x becomes x cos + (x with its halves swapped) sin."""
        angles_NP = positions_N[:, None].float() * self.frequencies_P
        cos_NP, sin_NP = (part.to(self.head_AD.dtype) for part in (angles_NP.cos(), angles_NP.sin()))
        return torch.cat([cos_NP, cos_NP], dim=-1)[:, None], torch.cat([-sin_NP, sin_NP], dim=-1)[:, None]

    def _normed(self, states: Tensor, weight: Tensor | None) -> Tensor:
        return F.rms_norm(states, states.shape[-1:], weight, self.epsilon)

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, device=self.head_AD.device)


def _half_against_half(width: int, *, rotated: int, neighbours: bool) -> Tensor:
    """Order of a head's dimensions [W]: dimension n is rotated with n + P; each half ends with the unrotated ones."""
    numbers_R = torch.arange(rotated)
    pairs = numbers_R.view(-1, 2).T if neighbours else numbers_R.view(2, -1)
    return torch.cat([pairs, torch.arange(rotated, width).view(2, -1)], dim=1).flatten()


def _layer(layer: Any, *, heads: int, groups: int, order_W: Tensor) -> Layer:
    """Collect the weights of a transformers layer; queries and keys are reordered by `order_W`."""
    attention, mlp = layer.self_attn, layer.mlp
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    width = len(order_W)

    def ordered(states: Tensor, num_heads: int) -> Tensor:
        states_HWX: Tensor = states.unflatten(0, (num_heads, width))
        return states_HWX[:, order_W.to(states.device)].flatten(0, 1)

    def joined(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat([ordered(q, heads), ordered(k, groups), v])

    # Norms of queries and keys, which Qwen3 has.
    qk_norm_JW = None
    if hasattr(attention, "q_norm"):
        norms = [attention.q_norm.weight] * heads + [attention.k_norm.weight] * groups
        qk_norm_JW = torch.stack(norms)[:, order_W.to(norms[0].device)]
    fused = hasattr(mlp, "gate_up_proj")
    return Layer(
        norm_D=layer.input_layernorm.weight,
        qkv_XD=joined(*(part.weight for part in parts)),
        qkv_bias_X=None if parts[0].bias is None else joined(*(part.bias for part in parts)),
        qk_norm_JW=qk_norm_JW,
        out_DX=attention.o_proj.weight,
        mlp_norm_D=layer.post_attention_layernorm.weight,
        gate_up_ED=mlp.gate_up_proj.weight if fused else torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down_DF=mlp.down_proj.weight,
    )
