"""The model of any rank of any layout, built by megatron-core in one process, without memory and without other ranks.

torch's fake process groups let a process be rank r of a world of any size: they know their members and exchange
nothing. Tensors are made in torch's fake mode: shapes without storage. What is built is therefore the engine's own
model, split by its own rules, of 9 billion parameters on a laptop. Price: it can be counted, not run, and both fakes
are torch's tools for developers, outside its promises of stability. Checked with the CPU layers; with CUDA visible,
Transformer Engine's would be built, which has not been tried.
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
from megatron_speech.vocabulary import Vocabulary

COMPONENTS = {
    "embedding": "embedding",
    "output_layer": "output_layer",
    "norm": "norms",
    "self_attention": "attention",
    "mlp": "mlp",
}
"""What a parameter's name contains, and the component it belongs to; the first that fits counts."""


def check_parameters(model: ModelConfig, *, vocabulary: Vocabulary, layout: ParallelLayout) -> int:
    """Compare `planning.parameters` with megatron-core, rank by rank and in sum; returns the number of ranks built.

    ValueError names the first rank that differs: megatron-core makes weights which planning does not know.
    """
    rows, layers = vocabulary.padded_size, layout.layers_per_stage(model.num_layers)
    unique = Parameters()
    for rank in range(layout.world_size):
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
    """What `rank` holds, and what of it no rank before it in its replica holds a copy of."""
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
            "trust megatron-core's, and plan for this version of it anew"
        )
