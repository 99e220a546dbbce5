"""What the layers keep for the backward pass on a CPU lies above the estimate, by a stated factor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig, TrainConfig
from megatron_speech.model.forward import forward
from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.memory import stage_memory
from megatron_speech.planning.run_job import job_of
from megatron_speech.planning.stacks import stack
from megatron_speech.vocabulary import Vocabulary
from tests.whole_model import whole_model

VOCABULARY = Vocabulary(num_text_ids=1900, num_speech_ids=100, padding_multiple=128)
LENGTH = 256


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_layer_keeps_at_most_1_8_times_the_estimate(dtype: Literal["float32", "bfloat16"]) -> None:
    few, many = ModelConfig(num_layers=1), ModelConfig(num_layers=3)
    kept = _kept(many, dtype) - _kept(few, dtype)
    estimate = _estimate(many, dtype) - _estimate(few, dtype)
    assert 1 <= kept / estimate <= 1.8


def _kept(model: ModelConfig, dtype: str) -> int:
    """Bytes of all tensors but the parameters that a forward pass keeps."""
    with whole_model(model, vocabulary=VOCABULARY, dtype=dtype) as chunk:
        own = {parameter.untyped_storage().data_ptr() for parameter in chunk.parameters()}
        kept: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage
            return tensor

        tokens = torch.randint(0, 1900, (1, LENGTH), generator=torch.Generator().manual_seed(1))
        ends = torch.tensor([0, LENGTH], dtype=torch.int32)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            _ = forward(chunk, tokens=tokens, labels=tokens, cu_seqlens=ends, max_seqlen=LENGTH).sum()
        return sum(storage.nbytes() for place, storage in kept.items() if place not in own)


def _estimate(model: ModelConfig, dtype: Literal["float32", "bfloat16"]) -> int:
    config = PretrainConfig(
        folder=Path("run"),
        model=model,
        data=DataConfig(seq_length=LENGTH, sources={"a": SourceConfig(folder="a", task="text")}),
        train=TrainConfig(tokens=1 << 20),
        precision=PrecisionConfig(dtype=dtype),
    )
    rows = VOCABULARY.padded_size
    job = job_of(config, vocabulary_rows=rows, gpus=1, gpu=gpu("H100"), stack=stack("local"))
    return stage_memory(job, 0).activations
