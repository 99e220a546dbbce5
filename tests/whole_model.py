"""A whole megatron-core model on one rank, as the reference for conversions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.builder import build_model
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.vocabulary import Vocabulary


@contextmanager
def whole_model(
    model: ModelConfig, *, vocabulary: Vocabulary, dtype: Literal["float32", "bfloat16"]
) -> Iterator[nn.Module]:
    """A model with initial weights on one rank; its process groups end with the block."""
    parallel = ParallelConfig()
    groups.initialize(ParallelLayout.of(parallel, world_size=1), seed=0)
    try:
        (chunk,) = build_model(model, vocabulary=vocabulary, parallel=parallel, precision=PrecisionConfig(dtype=dtype))
        yield chunk
    finally:
        groups.shutdown()
