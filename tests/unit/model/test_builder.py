"""From our configuration to megatron-core's: names are checked, and every layout starts from the same weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from megatron.core.transformer import TransformerConfig

from megatron_speech.config.run.megatron import ALLOWED
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.builder import build_model, to_transformer_config
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from tests.distributed.engine import MODEL, VOCABULARY
from tests.ranks import run_ranks

RECOMPUTE: Any = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
FLOAT32 = PrecisionConfig(dtype="float32")
ON_CPU = not torch.cuda.is_available()


def test_an_unknown_megatron_key_gets_a_near_name() -> None:
    with pytest.raises(ValueError, match=r"model.megatron.attention_dropuot .* did you mean attention_dropout\?"):
        ModelConfig(megatron={"attention_dropuot": 0.1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_layers", 3),
        ("qk_layernorm", True),
        ("sequence_parallel", True),
        ("normalization", "LayerNorm"),
        ("recompute_granularity", "full"),
        ("num_layers_in_first_pipeline_stage", 1),
        ("layernorm_epsilon", 0.1),
        ("no_rope_freq", [1, 1]),
        ("softmax_scale", 0.01),
        ("window_size", [4, 0]),
        ("qk_clip", True),
        ("fp16", True),
        ("bf16", False),
        ("pipeline_dtype", "float16"),
        ("fp8_margin", 1),
        ("tp_comm_overlap", True),
        ("cpu_offloading", True),
        ("cuda_graph_impl", "local"),
    ],
)
def test_a_key_that_changes_the_model_or_has_its_own_setting_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^model.megatron.{key} is not allowed"):
        ModelConfig(megatron={key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_dropout", "lots"),
        ("hidden_dropout", -0.1),
        ("attention_dropout", 7),
        ("attention_dropout", float("nan")),
        ("deterministic_mode", 1),
        ("microbatch_group_size_per_vp_stage", 0),
        ("microbatch_group_size_per_vp_stage", True),
    ],
)
def test_a_value_of_another_type_or_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^model.megatron.{key}={value} must be"):
        ModelConfig(megatron={key: value})


def test_what_is_allowed_are_fields_of_these_types() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(TransformerConfig)}
    for name, kind in ALLOWED.items():
        assert fields[name] in (kind, kind | None), name


@pytest.mark.parametrize("key", ["overlap_p2p_comm_warmup_flush", "distribute_saved_activations"])
def test_what_megatron_core_does_not_combine_is_one_line(key: str) -> None:
    model = ModelConfig(megatron={key: True})
    parallel = ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=True, **RECOMPUTE)
    with pytest.raises(ValueError, match=rf"^megatron-core refuses this model with model.megatron=.*{key}.*change one"):
        to_transformer_config(model, parallel=parallel, precision=FLOAT32)


@pytest.mark.parametrize("share", [0.0, 1.5, 0.1, 0.05])
def test_a_rotated_part_that_is_no_even_part_of_the_head_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"model.rotary_percent={share} of a head of 32"):
        ModelConfig(kv_channels=32, rotary_percent=share)


def test_a_megatron_key_wins() -> None:
    model = ModelConfig(megatron={"hidden_dropout": 0.25})
    assert to_transformer_config(model, parallel=ParallelConfig(), precision=FLOAT32).hidden_dropout == 0.25


@pytest.mark.skipif(not ON_CPU, reason="the refusal is for machines without a GPU")
def test_gpu_settings_are_refused_on_a_cpu() -> None:
    with pytest.raises(ValueError, match=r"precision.fp8=hybrid needs Transformer Engine and a GPU"):
        to_transformer_config(
            ModelConfig(), parallel=ParallelConfig(), precision=PrecisionConfig(dtype="bfloat16", fp8="hybrid")
        )


@pytest.mark.skipif(not ON_CPU, reason="the refusal is for machines without Apex")
def test_fused_accumulation_needs_its_kernel() -> None:
    parallel = ParallelConfig(gradient_accumulation_fusion=True)
    with pytest.raises(ValueError, match=r"parallel.gradient_accumulation_fusion=true needs a GPU and NVIDIA Apex"):
        to_transformer_config(ModelConfig(), parallel=parallel, precision=FLOAT32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_initial_weights(dtype: str) -> None:
    run_ranks(_check_initial_weights, 1, dtype)


def test_qk_norm_and_bias_models_run() -> None:
    run_ranks(_check_variants, 1)


def _check_initial_weights(rank: int, world_size: int, init_method: str, dtype: str) -> None:
    parallel, precision = ParallelConfig(), PrecisionConfig(dtype=dtype)
    groups.initialize(ParallelLayout.of(parallel, world_size=1), seed=0)

    def build(seed: int) -> dict[str, torch.Tensor]:
        (chunk,) = build_model(MODEL, vocabulary=VOCABULARY, parallel=parallel, precision=precision, seed=seed)
        return dict(chunk.named_parameters())

    first, again, other = build(1), build(1), build(2)
    matrices = [name for name, weight in first.items() if weight.dim() == 2]
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not any(torch.equal(first[name], other[name]) for name in matrices)
    assert all((first[name] == 1).all() for name in first if name not in matrices)
    assert first["embedding.word_embeddings.weight"].shape == (VOCABULARY.padded_size, MODEL.hidden_size)
    std = {name: first[name].float().std().item() / MODEL.init_method_std for name in matrices}
    assert std["decoder.layers.0.mlp.linear_fc2.weight"] == pytest.approx((2 * MODEL.num_layers) ** -0.5, rel=0.05)
    assert std["decoder.layers.3.mlp.linear_fc1.weight"] == pytest.approx(1, rel=0.05)


def _check_variants(rank: int, world_size: int, init_method: str) -> None:
    from tests.distributed.engine import Engine

    groups.initialize(ParallelLayout.of(ParallelConfig(), world_size=1), seed=0)
    half_rotary = {"rotary_percent": 0.5, "rotary_interleaved": True}
    for changes in ({"qk_layernorm": True}, {"add_qkv_bias": True}, {"kv_channels": 32}, half_rotary):
        engine = Engine(ParallelConfig(), dataclasses.replace(MODEL, **changes))
        assert torch.isfinite(engine.gradients()).all()
        assert engine.step() > 0
