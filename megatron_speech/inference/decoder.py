"""The forward pass of generation: prefill of packed prompts, then one token per row and step, with a key-value cache.

It computes what transformers computes, with less work. The query heads of a group are treated as several queries of one
head, so keys and values are not repeated. Prompts are concatenated without padding. After its attention, the last layer
continues with the last position of each prompt only. The output head holds the rows of the allowed ids only.

Each row keeps its tokens in columns 0, 1, ... of a slot. A step writes one column per row. Rows are processed in
chunks, and a chunk reads as many columns as its longest row has.

It supports the families that this project exports (Llama, Qwen2, Qwen3, GLM-4) and refuses others. All have RMSNorm,
gated SiLU, rotary positions and grouped queries. GLM rotates neighbouring dimensions, and only some. The rows of its
query and key matrices are reordered at loading. So every family rotates the first half of a head against the second.
Products of queries and keys stay the same.

Cost: a second forward pass beside that of transformers, which tests compare for every family. The query, key, value,
gate and up matrices are stored twice.

Shapes: N tokens, B rows, C columns of a slot, T columns read, D width, F width of the MLP, V vocabulary, A allowed ids.
Heads: H query heads, G groups (key heads), W width of a head, P = W / 2.
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

CHUNK_ROWS = 16  # rows of one attention call, which reads as many columns as the longest of them has
Chunk = tuple[slice, slice, Tensor]  # rows, their slots, the mask added to their attention scores [b, 1, 1, T]

# (queries, keys and values of every token [N, H + 2 G, W]) -> attention outputs [N, H * W]
Attend = Callable[[Tensor], Tensor]


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
    """Weights of a decoder-only model with its prefill (`read`) and its step (`extend`), in inference mode."""

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

    def cache(self, slots: int) -> SlotCache:
        """Create an empty cache for `slots` rows."""
        width = 2 * len(self.frequencies_P)
        return SlotCache.empty(
            layers=len(self.layers), slots=slots, groups=self.groups, width=width, like=self.embedding_VD
        )

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]], *, cache: SlotCache, slots: Sequence[int]) -> Tensor:
        """Logits [B, A] of the token after each prompt; fills the slot of each prompt in `cache`."""
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
        """Logits [B, A] after appending one token to each of `slots`, at its place in `columns`.

        Rows in consecutive slots share an attention call, which is fastest for rows of similar length.
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

    def _over_prompts(self, cache: SlotCache, layer: int, *, slots: Sequence[int], lengths: Sequence[int]) -> Attend:
        """Causal attention within each prompt; stores keys and values in the cache."""
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
        """Attention of each row's new token over its slot; stores the token's keys and values first."""
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
        """Group rows into chunks: at most `CHUNK_ROWS` rows, in consecutive slots."""
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
        """Cosines and signed sines [N, 1, W]; a head x becomes x cos + (x with its halves swapped) sin."""
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
