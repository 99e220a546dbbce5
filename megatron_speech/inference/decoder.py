"""The forward pass of generation: prompts read packed, then one token for every row, over a cache of slots.

transformers computes the same numbers with more work: it repeats keys and values for the query heads
that share them, pads prompts, and carries every position of a prompt through the last layer. Here the query heads of a
group are treated as that many queries of one head, prompts lie end to end without padding, the last layer goes on with
each prompt's last position alone, and the head has rows for the ids that may come only. A row of the batch keeps its
tokens in columns 0, 1, ... of a slot; a step writes one column of every row and reads those that any row of its chunk
uses.

It covers the families that this project exports (Llama, Qwen2, Qwen3, GLM-4: root mean square norms, gated SiLU,
rotary positions, grouped queries) and refuses others. GLM rotates neighbouring numbers of a head and not all of them:
the rows of its query and key matrices are reordered once, which no product of a query and a key can see, so that all
families rotate one half of a head against the other. Price: a second forward pass beside that of transformers (tests
hold the two equal on every family), and a second copy of the query, key, value, gate and up matrices.

Shapes: N tokens, B rows, H query heads, G groups (heads of keys), W width of a head, P = W / 2, C columns of a slot,
T columns read, D width, F of the MLP, V vocabulary, A ids that may come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from megatron_speech.checkpoint.hf_config import refuse_other_architectures
from megatron_speech.inference.cache import SlotCache

CHUNK_ROWS = 16  # whose columns are read together: as many as the longest of them has
Chunk = tuple[slice, slice, Tensor]  # rows, their slots, what is added to their scores [b, 1, 1, T]

# (queries, keys and values of every token [N, H + 2 G, W]) -> what its queries saw [N, H * W]
Attend = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Weights of one layer, as they are multiplied."""

    norm_D: Tensor
    qkv_XD: Tensor
    """Queries, keys, values: X = (H + 2 G) W."""
    qkv_bias_X: Tensor | None
    qk_norm_JW: Tensor | None
    """Of queries and keys, J = H + G."""
    out_DX: Tensor
    mlp_norm_D: Tensor
    gate_up_ED: Tensor
    """Gate above up: E = 2 F."""
    down_DF: Tensor


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A decoder's weights with its passes; every pass runs under `torch.inference_mode`."""

    embedding_VD: Tensor
    layers: list[Layer]
    norm_D: Tensor
    head_AD: Tensor
    frequencies_P: Tensor
    """Radians per position; 0 for the numbers that are not rotated."""
    heads: int
    groups: int
    epsilon: float

    @classmethod
    def of(cls, network: PreTrainedModel, *, ids_A: Tensor | None = None) -> Decoder:
        """The weights of `network`, its head restricted to the rows `ids_A`; ValueError for another architecture."""
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

    def cache(self, slots: int) -> SlotCache:
        """An empty cache for so many rows."""
        width = 2 * len(self.frequencies_P)
        return SlotCache.empty(
            layers=len(self.layers), slots=slots, groups=self.groups, width=width, like=self.embedding_VD
        )

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]], *, cache: SlotCache, slots: Sequence[int]) -> Tensor:
        """Logits [B, A] of the token after each prompt, which is written to its slot."""
        lengths = [len(prompt) for prompt in prompts]
        cache.hold(max(lengths))
        positions_N = self._tensor([position for length in lengths for position in range(length)])
        hidden_ND = F.embedding(self._tensor([token for prompt in prompts for token in prompt]), self.embedding_VD)
        last_B = self._tensor(lengths).cumsum(0) - 1
        rotation = self._rotation(positions_N)
        for number, layer in enumerate(self.layers):
            attend = self._over_prompts(cache, number, slots=slots, lengths=lengths)
            keep_B = last_B if number == len(self.layers) - 1 else None
            hidden_ND = self._pass(layer, hidden_ND, rotation=rotation, attend=attend, keep_B=keep_B)
        return self._logits(hidden_ND)

    @torch.inference_mode()
    def extend(
        self, tokens: Sequence[int], *, cache: SlotCache, slots: Sequence[int], columns: Sequence[int]
    ) -> Tensor:
        """Logits [B, A] after one token more in each of these slots, written at its column.

        Rows in consecutive slots are read together, and fastest where they are of like length.
        """
        cache.hold(max(columns) + 1)
        columns_B, slots_B = self._tensor(columns), self._tensor(slots)
        hidden_BD = F.embedding(self._tensor(tokens), self.embedding_VD)
        rotation, chunks = self._rotation(columns_B), self.chunks(slots, columns)
        for number, layer in enumerate(self.layers):
            attend = self._over_slots(cache, number, places=(slots_B, columns_B), chunks=chunks)
            hidden_BD = self._pass(layer, hidden_BD, rotation=rotation, attend=attend)
        return self._logits(hidden_BD)

    def _pass(
        self,
        layer: Layer,
        hidden_ND: Tensor,
        *,
        rotation: tuple[Tensor, Tensor],
        attend: Attend,
        keep_B: Tensor | None = None,
    ) -> Tensor:
        """One layer, in place; with `keep_B`, of these tokens alone once all have been seen."""
        normed_ND = self._normed(hidden_ND, layer.norm_D)
        qkv_NIW = F.linear(normed_ND, layer.qkv_XD, layer.qkv_bias_X).unflatten(1, (self.heads + 2 * self.groups, -1))
        qk_NJW = qkv_NIW[:, : self.heads + self.groups]
        if layer.qk_norm_JW is not None:
            qk_NJW.copy_(self._normed(qk_NJW, None).mul_(layer.qk_norm_JW))
        cos_N1W, sin_N1W = rotation
        turned_NJW = qk_NJW.roll(qk_NJW.shape[-1] // 2, dims=-1)
        qk_NJW.mul_(cos_N1W).addcmul_(turned_NJW, sin_N1W)
        seen_NX = attend(qkv_NIW)
        if keep_B is not None:
            hidden_ND, seen_NX = hidden_ND[keep_B], seen_NX[keep_B]
        hidden_ND.addmm_(seen_NX, layer.out_DX.T)
        normed_ND = self._normed(hidden_ND, layer.mlp_norm_D)
        gate_NF, up_NF = F.linear(normed_ND, layer.gate_up_ED).chunk(2, dim=-1)
        return hidden_ND.addmm_(F.silu(gate_NF, inplace=True).mul_(up_NF), layer.down_DF.T)

    def _over_prompts(self, cache: SlotCache, layer: int, *, slots: Sequence[int], lengths: Sequence[int]) -> Attend:
        """Every prompt sees itself, and is stored."""
        states = cache.states[layer]

        def attend(qkv_NIW: Tensor) -> Tensor:
            seen = []
            for slot, qkv_SIW in zip(slots, qkv_NIW.split(list(lengths)), strict=True):
                qkv_ISW = qkv_SIW.transpose(0, 1)
                states[slot, :, : len(qkv_SIW)] = qkv_ISW[self.heads :]
                q_HSW, k_GSW, v_GSW = qkv_ISW[None].split([self.heads, self.groups, self.groups], dim=1)
                seen_HSW = F.scaled_dot_product_attention(q_HSW, k_GSW, v_GSW, is_causal=True, enable_gqa=True)[0]
                seen.append(seen_HSW.transpose(0, 1).flatten(1))
            return torch.cat(seen)

        return attend

    def _over_slots(
        self, cache: SlotCache, layer: int, *, places: tuple[Tensor, Tensor], chunks: Sequence[Chunk]
    ) -> Attend:
        """Every row's new token is stored and sees its slot; the query heads of a group are queries of one head."""
        states = cache.states[layer]
        slots_B, columns_B = places

        def attend(qkv_BIW: Tensor) -> Tensor:
            states[slots_B, :, columns_B] = qkv_BIW[:, self.heads :]
            q_BGQW = qkv_BIW[:, : self.heads].unflatten(1, (self.groups, -1))
            seen = []
            for rows, slots, mask in chunks:
                k_BGTW, v_BGTW = states[slots, :, : mask.shape[-1]].split(self.groups, dim=1)
                seen.append(F.scaled_dot_product_attention(q_BGQW[rows], k_BGTW, v_BGTW, attn_mask=mask))
            return torch.cat(seen).flatten(1)

        return attend

    def chunks(self, slots: Sequence[int], columns: Sequence[int]) -> list[Chunk]:
        """Rows that are read together: as many as may be, in consecutive slots."""
        chunks, first = [], 0
        for end in range(1, len(slots) + 1):
            if end < len(slots) and end - first < CHUNK_ROWS and slots[end] == slots[end - 1] + 1:
                continue
            columns_b = self._tensor(columns[first:end])
            unused_bT = torch.arange(max(columns[first:end]) + 1, device=columns_b.device) > columns_b[:, None]
            mask_bT = self.head_AD.new_zeros(unused_bT.shape).masked_fill_(unused_bT, -torch.inf)
            chunks.append((slice(first, end), slice(slots[first], slots[end - 1] + 1), mask_bT[:, None, None]))
            first = end
        return chunks

    def _rotation(self, positions_N: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines [N, 1, W]: x cos + (halves of x exchanged) sin."""
        angles_NP = positions_N[:, None].float() * self.frequencies_P
        cos_NP, sin_NP = (part.to(self.head_AD.dtype) for part in (angles_NP.cos(), angles_NP.sin()))
        return torch.cat([cos_NP, cos_NP], dim=-1)[:, None], torch.cat([-sin_NP, sin_NP], dim=-1)[:, None]

    def _logits(self, hidden_BD: Tensor) -> Tensor:
        return F.linear(self._normed(hidden_BD, self.norm_D), self.head_AD)

    def _normed(self, states: Tensor, weight: Tensor | None) -> Tensor:
        return F.rms_norm(states, states.shape[-1:], weight, self.epsilon)

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, device=self.head_AD.device)


def _half_against_half(width: int, *, rotated: int, neighbours: bool) -> Tensor:
    """Order of a head's numbers in which the n-th is rotated with the (n + P)-th; what is not rotated comes last."""
    numbers_R = torch.arange(rotated)
    pairs = numbers_R.view(-1, 2).T if neighbours else numbers_R.view(2, -1)
    return torch.cat([pairs, torch.arange(rotated, width).view(2, -1)], dim=1).flatten()


def _layer(layer: Any, *, heads: int, groups: int, order_W: Tensor) -> Layer:
    """The weights of a transformers layer."""
    attention, mlp = layer.self_attn, layer.mlp
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    width = len(order_W)

    def ordered(states: Tensor, num_heads: int) -> Tensor:
        return states.unflatten(0, (num_heads, width))[:, order_W.to(states.device)].flatten(0, 1)

    def joined(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat([ordered(q, heads), ordered(k, groups), v])

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
