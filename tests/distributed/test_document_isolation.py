"""Packed documents never attend across a boundary, and no token attends ahead: shown to the bit, also when ranks share.

One token of one document is changed. The logits of all other documents, and of the document's earlier tokens, must stay
as they were, bit for bit; those from the token on must change. Every document gets its turn.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from megatron_speech.data.reading.batch import HostBatch, to_device
from megatron_speech.model.forward import forward
from megatron_speech.parallel import context, groups
from megatron_speech.training.context_split import split_over_context
from tests.distributed.engine import DOCUMENTS, VOCABULARY, Engine, host_batch
from tests.distributed.layouts import CONTEXT, SEQUENCE, start
from tests.ranks import run_ranks

ROW = 1  # five documents, one of a single token


@pytest.mark.parametrize(
    ("world_size", "settings"),
    [(1, {}), (2, SEQUENCE), (2, CONTEXT), (4, {**SEQUENCE, **CONTEXT}), (4, {"context_parallel_size": 4})],
    ids=["one rank", "tensor 2", "context 2", "tensor 2 x context 2", "context 4"],
)
def test_a_changed_token_changes_what_may_see_it_and_nothing_else(world_size: int, settings: dict[str, Any]) -> None:
    run_ranks(_check_isolation, world_size, settings)


def _check_isolation(rank: int, world_size: int, init_method: str, settings: dict[str, Any]) -> None:
    parallel = start(settings, rank=rank, world_size=world_size, init_method=init_method)
    (chunk,) = Engine(parallel).bare
    host = host_batch(ROW)
    positions = _positions(host)
    before = _logits(chunk, host)
    ends = DOCUMENTS[ROW]
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        changed = (first + end) // 2
        tokens = host.tokens.copy()
        tokens[0, changed] = (tokens[0, changed] + 1) % VOCABULARY.size
        after = _logits(chunk, dataclasses.replace(host, tokens=tokens))
        may_see = (positions >= changed) & (positions < end)
        same = (before == after).all(dim=1)
        assert same[(positions >= 0) & ~may_see].all(), f"token {changed} was seen outside {changed}..{end}"
        assert not same[may_see].any(), f"token {changed} was not seen by its own document"


def _logits(chunk: Any, host: HostBatch) -> Tensor:
    """Logits of this rank's share of the row, [T / context size, V / tensor size]."""
    (batch,) = split_over_context([host], [to_device(host, VOCABULARY, torch.device("cpu"))])
    with torch.no_grad():
        return forward(
            chunk, tokens=batch.tokens, labels=None, cu_seqlens=batch.cu_seqlens, max_seqlen=batch.max_seqlen
        )


def _positions(host: HostBatch) -> Tensor:
    """Place of every position of the share in the row; -1 for padding."""
    size = groups.context_parallel_size()
    if size == 1:
        return torch.arange(int(host.cu_seqlens[-1]))
    length = context.padded_length(host.cu_seqlens, size=size, tensor_size=groups.tensor_parallel_size())
    found, _ = context.share(host.cu_seqlens, size=size, rank=groups.context_parallel_rank(), length=length)
    return torch.from_numpy(found)
