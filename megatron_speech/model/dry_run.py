"""Builds the model of any rank of any layout in one process, without memory for weights, to count its parameters.

Fake process groups let one process be any rank of any world: they know their members and exchange nothing. In its fake
mode, torch makes tensors with shapes and without storage. So megatron-core builds and splits the real model, even 9
billion parameters on a laptop.

Limitations: the model can be counted, not run. Both fakes are internal to torch and may change. This was checked with
the CPU layers only; on a machine with CUDA, Transformer Engine's layers would be built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from megatron.core.tensor_parallel import param_is_not_tensor_parallel_duplicate
from megatron.core.transformer.module import param_is_not_shared
from torch import nn

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.model.builder import build_model
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.planning.parameters import Parameters, model_parameters, rank_parameters
from megatron_speech.platform.private_names import tensors_without_storage
from megatron_speech.progress import follow
from megatron_speech.vocabulary import Vocabulary

COMPONENTS = {
    "embedding": "embedding",
    "output_layer": "output_layer",
    "norm": "norms",
    "self_attention": "attention",
    "mlp": "mlp",
}
"""Part of a parameter's name -> the component it belongs to; the first match counts."""


def check_parameters(model: ModelConfig, *, vocabulary: Vocabulary, layout: ParallelLayout) -> int:
    """Compare `planning.parameters` with megatron-core, rank by rank and in sum; returns the number of ranks built.

    Raises ValueError naming the first rank with other counts.
    """
    rows, layers = vocabulary.padded_size, layout.layers_per_stage(model.num_layers)
    unique = Parameters()
    for rank in follow(range(layout.world_size), "plan_parameters: build", unit="ranks", late=True):
        place = layout.coordinates(rank)
        expected = rank_parameters(
            model,
            vocabulary_rows=rows,
            tensor_size=layout.tensor_size,
            layers_per_stage=layers,
            stage=place.pipeline,
        )
        held, first_seen = built_parameters(model, vocabulary=vocabulary, layout=layout, rank=rank)
        _require_equal(f"rank {rank}", held, expected)
        if place.data == place.context == 0:
            unique += first_seen
    _require_equal("the whole model", unique, model_parameters(model, vocabulary_rows=rows))
    return layout.world_size


def built_parameters(
    model: ModelConfig, *, vocabulary: Vocabulary, layout: ParallelLayout, rank: int
) -> tuple[Parameters, Parameters]:
    """(counts of all parameters on `rank`, the same without copies of parameters that another rank holds too)."""
    groups.pose(layout, rank=rank)
    try:
        with tensors_without_storage():
            precision = PrecisionConfig(dtype="bfloat16")
            chunks = build_model(model, vocabulary=vocabulary, parallel=layout.config, precision=precision)
            return _count(_named(chunks)), _count(_named(chunks), unique=True)
    finally:
        groups.shutdown()


def _named(chunks: Sequence[nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    return (named for chunk in chunks for named in chunk.named_parameters())


def _count(named: Iterator[tuple[str, nn.Parameter]], *, unique: bool = False) -> Parameters:
    counts = dict.fromkeys(COMPONENTS.values(), 0)
    for name, parameter in named:
        if not unique or (param_is_not_shared(parameter) and param_is_not_tensor_parallel_duplicate(parameter)):
            counts[next(component for part, component in COMPONENTS.items() if part in name)] += parameter.numel()
    return Parameters(**counts)


def _require_equal(what: str, built: Parameters, planned: Parameters) -> None:
    if built != planned:
        raise ValueError(
            f"{what}: megatron-core makes {built}, planning says {planned}; "
            "trust megatron-core, and correct planning.parameters for this version of it"
        )
