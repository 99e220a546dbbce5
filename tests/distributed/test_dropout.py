"""Dropout under tensor parallelism: split activations drop different elements per rank, replicated ones equal."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from megatron.core.tensor_parallel import get_cuda_rng_tracker
from torch import Tensor

from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.model.forward import forward
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.distributed.engine import MODEL, Engine, micro_batch
from tests.ranks import run_ranks


def test_tensor_ranks_draw_different_split_and_equal_replicated_masks() -> None:
    run_ranks(_check_masks, 2)


@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_losses_with_dropout_are_equal_on_tensor_ranks_and_change_each_pass(sequence_parallel: bool) -> None:
    run_ranks(_check_losses, 2, sequence_parallel)


def _check_masks(rank: int, world_size: int, init_method: str) -> None:
    parallel = ParallelConfig(tensor_model_parallel_size=2)
    groups.initialize(ParallelLayout.of(parallel, world_size=world_size), seed=3, rank=rank, init_method=init_method)
    ones = torch.ones(256)
    replicated = F.dropout(ones, 0.5)
    before = torch.get_rng_state()
    with get_cuda_rng_tracker().fork():
        split = F.dropout(ones, 0.5)
    assert torch.equal(before, torch.get_rng_state()), "the fork must leave the replicated generator where it was"
    with get_cuda_rng_tracker().fork():
        assert not torch.equal(split, F.dropout(ones, 0.5)), "the split generator must advance"
    assert _equal_on_ranks(replicated)
    assert not _equal_on_ranks(split)
    assert not _equal_on_ranks(_attention_of_equal_inputs(parallel))


def _attention_of_equal_inputs(parallel: ParallelConfig) -> Tensor:
    """Output of the model's core attention for inputs that are the same on both ranks, with dropout."""
    model = dataclasses.replace(MODEL, megatron={"attention_dropout": 0.5})
    attention = Engine(parallel, model).bare[0].decoder.layers[0].self_attention.core_attention
    query, key, value = torch.randn(3, 8, 2, 16, generator=torch.Generator().manual_seed(0))
    return attention(query[:, None], key[:, None], value[:, None])


def _check_losses(rank: int, world_size: int, init_method: str, sequence_parallel: bool) -> None:
    parallel = ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=sequence_parallel)
    groups.initialize(ParallelLayout.of(parallel, world_size=world_size), seed=3, rank=rank, init_method=init_method)
    model = dataclasses.replace(MODEL, megatron={"attention_dropout": 0.2, "hidden_dropout": 0.2})
    (chunk,) = Engine(parallel, model).bare
    batch = {key: value for key, value in micro_batch(0).items() if key not in ("loss_mask", "source")}
    first, second = forward(chunk, **batch), forward(chunk, **batch)
    assert _equal_on_ranks(first)
    assert not torch.equal(first, second)


def _equal_on_ranks(tensor: Tensor) -> bool:
    gathered = [torch.empty_like(tensor) for _ in range(2)]
    torch.distributed.all_gather(gathered, tensor.detach().contiguous())
    return torch.equal(*gathered)
