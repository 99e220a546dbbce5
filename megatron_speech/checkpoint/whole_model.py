"""A whole model in one process, for conversions: built, then filled or read as plain named tensors.

Price: the model must fit into one machine's memory once; optimizer state is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn

from megatron_speech.config.model import ModelConfig
from megatron_speech.config.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.builder import build_model
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.vocabulary import Vocabulary

_EXTRA = "_extra_state"  # Transformer Engine's FP8 history, no weight


@contextmanager
def whole_model(
    model: ModelConfig, *, vocabulary: Vocabulary, dtype: Literal["float32", "bfloat16"]
) -> Iterator[nn.Module]:
    """The model on one rank, with initial weights, inside a world of one that ends with the block."""
    parallel = ParallelConfig()
    groups.initialize(ParallelLayout.of(parallel, world_size=1), seed=0)
    try:
        (chunk,) = build_model(model, vocabulary=vocabulary, parallel=parallel, precision=PrecisionConfig(dtype=dtype))
        yield chunk
    finally:
        groups.shutdown()


def weights(chunk: nn.Module) -> dict[str, Tensor]:
    """Every weight by name, without the copies and the histories that are none."""
    return {name: tensor for name, tensor in chunk.state_dict().items() if not name.endswith(_EXTRA)}


def fill(chunk: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set every weight; the names must be exactly those of `weights`."""
    own = weights(chunk)
    assert own.keys() == tensors.keys(), f"names differ: {sorted(own.keys() ^ tensors.keys())[:3]}"
    for name, tensor in tensors.items():
        own[name].copy_(tensor)
