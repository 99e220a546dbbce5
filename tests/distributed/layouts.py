"""The layouts that must compute what one rank computes: every mechanism alone, and those that meet in practice."""

from __future__ import annotations

import dataclasses
from typing import Any

from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.distributed.engine import MODEL, VOCABULARY

TENSOR = {"tensor_model_parallel_size": 2}
SEQUENCE = {**TENSOR, "sequence_parallel": True}
PIPELINE = {"pipeline_model_parallel_size": 2}
VIRTUAL = {**PIPELINE, "virtual_pipeline_model_parallel_size": 2}
CONTEXT = {"context_parallel_size": 2}
SHARDED = {"use_distributed_optimizer": True}
OVERLAPPED = {**SHARDED, "overlap_param_gather": True}
CORE = {"recompute_granularity": "selective"}
MODULES = {"recompute_granularity": "selective", "recompute_modules": ["mlp"]}
UNITS = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 2}
BLOCK = {"recompute_granularity": "full", "recompute_method": "block", "recompute_num_layers": 1}

MODELS = {
    "tied": MODEL,
    "untied, biased, normed": dataclasses.replace(
        MODEL, untie_embeddings_and_output_weights=True, add_qkv_bias=True, qk_layernorm=True
    ),
}


def chunks(layout: str) -> dict[str, str]:
    """Setting of an uneven pipeline."""
    return {"pipeline_model_parallel_layout": layout}


# World size: name: settings.
LAYOUTS: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "recompute attention": CORE,
        "recompute MLP": MODULES,
        "recompute units of 2 layers": UNITS,
        "recompute 1 layer": BLOCK,
    },
    2: {
        "tensor 2": TENSOR,
        "tensor 2 + sequence": SEQUENCE,
        "tensor 2 + sequence + recompute MLP": {**SEQUENCE, **MODULES},
        "pipeline 2": PIPELINE,
        "pipeline 2, 1 and 3 layers": {**PIPELINE, **chunks("Et|t*3L")},
        "pipeline 2 x virtual 2": VIRTUAL,
        "pipeline 2 x virtual 2, 0, 2, 1 and 1 layers": {**VIRTUAL, **chunks("E|tt|t|tL")},
        "context 2": CONTEXT,
        "context 2 + recompute attention": {**CONTEXT, **CORE},
        "context 2 + sharded optimizer, overlapped": {**CONTEXT, **OVERLAPPED},
        "data 2": {},
        "data 2, nothing overlapped": {"overlap_grad_reduce": False},
        "data 2 + sharded optimizer": SHARDED,
        "data 2 + sharded optimizer, overlapped": OVERLAPPED,
    },
    4: {
        "tensor 4 + sequence, 2 key-value groups": {"tensor_model_parallel_size": 4, "sequence_parallel": True},
        "tensor 2 x pipeline 2 + sequence": {**SEQUENCE, **PIPELINE},
        "tensor 2 x context 2 + sequence": {**SEQUENCE, **CONTEXT},
        "tensor 2 x data 2 + sharded optimizer": {**TENSOR, **SHARDED},
        "pipeline 4": {"pipeline_model_parallel_size": 4},
        "pipeline 2 x virtual 2 x data 2 + sharded optimizer, overlapped": {**VIRTUAL, **OVERLAPPED},
        "pipeline 2 x virtual 2 x context 2, uneven + recompute": {
            **VIRTUAL,
            **CONTEXT,
            **BLOCK,
            **chunks("Et|t|tt|L"),
        },
        "context 4": {"context_parallel_size": 4},
        "context 2 x data 2 + sharded optimizer": {**CONTEXT, **SHARDED},
    },
}


def start(settings: dict[str, Any], *, rank: int, world_size: int, init_method: str) -> ParallelConfig:
    """Join the world of a layout; several in one process, one after the other, need an `init_method` each."""
    parallel = ParallelConfig(**settings)
    layout = ParallelLayout.of(parallel, world_size=world_size)
    layout.check_model(MODEL, vocabulary=VOCABULARY)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    return parallel
