"""Packed documents do not see each other, and their positions restart: packing equals running each document alone."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from megatron.core.packed_seq_params import PackedSeqParams
from torch import Tensor

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.builder import build_model, to_transformer_config
from megatron_speech.model.forward import forward
from megatron_speech.model.packed_attention import PackedAttention
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.distributed.engine import MODEL, VOCABULARY
from tests.ranks import run_ranks

ENDS = [0, 1, 7, 9, 24]
FLOAT32 = PrecisionConfig(dtype="float32")


def test_attention_equals_the_formula_with_a_block_causal_mask() -> None:
    heads, kv_heads, width = MODEL.num_attention_heads, MODEL.num_query_groups, MODEL.head_dim
    attention = PackedAttention(to_transformer_config(MODEL, parallel=ParallelConfig(), precision=FLOAT32))
    query = torch.randn(ENDS[-1], heads, width, requires_grad=True)
    key, value = (torch.randn(ENDS[-1], kv_heads, width, requires_grad=True) for _ in range(2))
    cu_seqlens = torch.tensor(ENDS, dtype=torch.int32)
    packed = PackedSeqParams(qkv_format="thd", cu_seqlens_q=cu_seqlens, cu_seqlens_kv=cu_seqlens)
    found = attention(query, key, value, packed_seq_params=packed)
    wanted = _formula(query, key, value)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    weight = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * weight).sum(), (query, key, value)),
        torch.autograd.grad((wanted * weight).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_packed_losses_equal_each_document_alone() -> None:
    run_ranks(_check_documents_alone, 1)


def _formula(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k / sqrt(K) + mask) v, in float64, every key-value head repeated for its group of queries."""
    query, key, value = query.double(), key.double(), value.double()
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
    document = torch.bucketize(torch.arange(ENDS[-1]), torch.tensor(ENDS[1:]), right=True)
    allowed = (document[:, None] == document) & torch.ones(ENDS[-1], ENDS[-1]).tril().bool()
    scores = torch.einsum("qhk,shk->hqs", query, key) / math.sqrt(query.shape[2])
    weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    return torch.einsum("hqs,shk->qhk", weights, value).float()


def _check_documents_alone(rank: int, world_size: int, init_method: str) -> None:
    groups.initialize(ParallelLayout.of(ParallelConfig(), world_size=1), seed=0)
    (chunk,) = build_model(MODEL, vocabulary=VOCABULARY, parallel=ParallelConfig(), precision=FLOAT32)
    ids = torch.randint(0, VOCABULARY.size, (2, ENDS[-1] // 2))  # two rows, as a micro-batch has them
    labels = torch.randint(0, VOCABULARY.size, (2, ENDS[-1] // 2))

    def losses(tokens: Tensor, targets: Tensor, ends: list[int]) -> Tensor:
        longest = max(torch.tensor(ends).diff().tolist())
        cu_seqlens = torch.tensor(ends, dtype=torch.int32)
        return forward(chunk, tokens=tokens, labels=targets, cu_seqlens=cu_seqlens, max_seqlen=longest)

    packed = losses(ids, labels, ENDS)
    assert packed.shape == (ENDS[-1],) and packed.dtype == torch.float32
    for start, end in pairwise(ENDS):
        tokens, targets = ids.flatten()[None, start:end], labels.flatten()[None, start:end]
        torch.testing.assert_close(packed[start:end], losses(tokens, targets, [0, end - start]), rtol=1e-5, atol=1e-5)
