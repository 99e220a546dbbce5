"""Rows of the embedding and head in every layout: new rows as they were drawn, padding outside the softmax."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.vocabulary import Vocabulary
from tests.ranks import run_ranks
from tests.toy_runs import MODEL

# 64 rows for 30 ids: the second of two tensor parallel ranks holds nothing but padding.
VOCABULARY = Vocabulary(num_text_ids=20, num_speech_ids=6, padding_multiple=64)
FLOAT32 = PrecisionConfig(dtype="float32")
TENSOR = {"tensor_model_parallel_size": 2, "sequence_parallel": True}
EMBEDDING, HEAD = "embedding.word_embeddings.weight", "output_layer.weight"


def _model(untied: bool) -> ModelConfig:
    return dataclasses.replace(MODEL, untie_embeddings_and_output_weights=untied)


@pytest.mark.parametrize("untied", [False, True])
def test_new_rows_are_the_same_in_every_layout(untied: bool, tmp_path: Path) -> None:
    run_ranks(_write_extended, 1, untied, tmp_path / "base")
    for degrees in (TENSOR, {"pipeline_model_parallel_size": 2}):
        run_ranks(_check_extended, 2, untied, tmp_path / "base", degrees)


@pytest.mark.parametrize("degrees", [{}, TENSOR], ids=["one rank", "tensor 2"])
@pytest.mark.parametrize("untied", [False, True], ids=["tied", "untied"])
def test_padding_has_no_probability_and_no_gradient(untied: bool, degrees: dict[str, Any]) -> None:
    run_ranks(_check_padding, degrees.get("tensor_model_parallel_size", 1), untied, degrees)


def _extended(name: str) -> torch.Tensor:
    """What a conversion makes of 20 text rows: [64, D]."""
    from megatron_speech.checkpoint.extension import extend_embedding

    seed = int(name == HEAD)
    text = torch.randn(VOCABULARY.num_text_ids, MODEL.hidden_size, generator=torch.Generator().manual_seed(seed))
    return extend_embedding(text, vocabulary=VOCABULARY, seed=seed)


def _build(rank: int, world_size: int, init_method: str, untied: bool, degrees: dict[str, Any]) -> Any:
    from megatron_speech.model.builder import build_model
    from megatron_speech.parallel import groups

    parallel = ParallelConfig(**degrees)
    groups.initialize(ParallelLayout.of(parallel, world_size=world_size), seed=1, rank=rank, init_method=init_method)
    (chunk,) = build_model(_model(untied), vocabulary=VOCABULARY, parallel=parallel, precision=FLOAT32, seed=3)
    return chunk


def _write_extended(rank: int, world_size: int, init_method: str, untied: bool, path: Path) -> None:
    from megatron_speech.checkpoint.distributed.save_load import save_model

    chunk = _build(rank, world_size, init_method, untied, {})
    for name, weight in chunk.named_parameters():
        if name in (EMBEDDING, HEAD):
            weight.data.copy_(_extended(name))
    save_model(path, [chunk], model=_model(untied), vocabulary=VOCABULARY)


def _check_extended(
    rank: int, world_size: int, init_method: str, untied: bool, path: Path, degrees: dict[str, Any]
) -> None:
    from megatron_speech.checkpoint.distributed.save_load import load_model
    from megatron_speech.model.initialization import global_parameters, shard

    chunk = _build(rank, world_size, init_method, untied, degrees)
    load_model(path, [chunk], model=_model(untied), vocabulary=VOCABULARY)
    found = {name: weight for name, weight in global_parameters(chunk) if name in (EMBEDDING, HEAD)}
    assert found
    for name, weight in found.items():
        assert weight.equal(shard(_extended(name), weight, name=name)), name


def _check_padding(rank: int, world_size: int, init_method: str, untied: bool, degrees: dict[str, Any]) -> None:
    import torch.distributed as dist

    from megatron_speech.model.forward import forward

    chunk = _build(rank, world_size, init_method, untied, degrees)
    ids = torch.randint(0, VOCABULARY.size, (1, 17), generator=torch.Generator().manual_seed(0))
    whole = {"tokens": ids[:, :-1], "cu_seqlens": torch.tensor([0, 16], dtype=torch.int32), "max_seqlen": 16}
    with torch.no_grad():
        own = forward(chunk, **whole, labels=None)
    slices = [torch.empty_like(own) for _ in range(world_size)]
    dist.all_gather(slices, own.contiguous())
    # Over the ids alone, as transformers would after the export has cut the padding rows.
    expected = torch.nn.functional.cross_entropy(
        torch.cat(slices, dim=-1)[:, : VOCABULARY.size].double(), ids[0, 1:], reduction="none"
    )
    losses = forward(chunk, **whole, labels=ids[:, 1:])
    torch.testing.assert_close(losses.flatten().double(), expected, rtol=1e-5, atol=0)
    losses.sum().backward()
    for name, weight in chunk.named_parameters():
        if name in (EMBEDDING, HEAD):
            ids_here = min(max(VOCABULARY.size - rank * len(weight), 0), len(weight))
            assert not weight.grad[ids_here:].any() and not weight[ids_here:].any(), name
            assert (name == EMBEDDING and untied) or weight.grad[:ids_here].any(dim=1).all(), name
