"""Estimates the memory of a rank by part, by arithmetic.

Weights, gradients and optimizer states follow from the number of parameters. Activations are what the layers keep for
the backward pass, if kernels are fused: inputs and outputs of norms, projections and the gated MLP. Not counted: scores
of attention, buffers for communication, workspace of kernels, fragmentation, and what an interleaved pipeline holds in
addition. On a CPU, without fused kernels, a layer was measured to keep 1.5 (float32) to 1.8 times (bfloat16) as much.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.planning.parameters import Parameters


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one rank by part."""

    weights: int
    gradients: int
    """Float32, whatever the format of the weights."""
    optimizer: int
    """Two float32 moments, and float32 master weights beside bfloat16 ones."""
    activations: int
    """Of all micro-batches that the pipeline holds at once, with the logits of the last stage."""

    @property
    def total(self) -> int:
        """Sum of all parts."""
        return sum(astuple(self))


def rank_memory(
    config: PretrainConfig, layout: ParallelLayout, parameters: Parameters, *, stage: int, vocabulary_rows: int
) -> Memory:
    """Memory of a rank of pipeline stage `stage`, which holds `parameters`; `precision.dtype` must be resolved."""
    assert config.precision.dtype != "auto"
    size = 4 if config.precision.dtype == "float32" else 2
    copies = layout.data_parallel_size * layout.context_size if config.parallel.use_distributed_optimizer else 1
    states = parameters.total * (8 if size == 4 else 12)
    return Memory(
        weights=parameters.total * size,
        gradients=parameters.total * 4,
        optimizer=-(-states // copies),
        activations=_activations(config, layout, stage=stage, size=size, vocabulary_rows=vocabulary_rows),
    )


def _activations(config: PretrainConfig, layout: ParallelLayout, *, stage: int, size: int, vocabulary_rows: int) -> int:
    model, parallel, tensor = config.model, config.parallel, layout.tensor_size
    tokens = config.train.micro_batch_size * config.data.seq_length // layout.context_size
    count = layout.num_microbatches(
        global_batch_size=config.train.global_batch_size, micro_batch_size=config.train.micro_batch_size
    )
    # Values per token of one layer: split along the sequence only with sequence parallelism, or by heads and columns.
    wide = model.hidden_size // (tensor if parallel.sequence_parallel else 1)
    query, key = model.num_attention_heads * model.head_dim, model.num_query_groups * model.head_dim
    attention = (2 * (query + 2 * key) + query) // tensor
    mlp = 0 if "mlp" in (parallel.recompute_modules or ()) else 3 * model.ffn_hidden_size // tensor
    layer = wide if parallel.recompute_granularity == "full" else 4 * wide + attention + mlp
    layers = layout.layers_per_stage(model.num_layers)[stage]
    at_once = min(count, layout.pipeline_size - stage)
    # The last stage keeps the logits, and their float32 softmax.
    is_last = stage == layout.pipeline_size - 1
    logits = tokens * vocabulary_rows // tensor * (size + 4) if is_last else 0
    return at_once * tokens * layers * layer * size + logits
