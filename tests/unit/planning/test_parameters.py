"""Counts by arithmetic equal published ones, transformers', and those of the models that megatron-core builds."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.planning.parameters import Parameters, describe, model_parameters, rank_parameters
from megatron_speech.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[3]
GLM4_9B = ModelConfig(
    num_layers=40,
    hidden_size=4096,
    ffn_hidden_size=13696,
    num_attention_heads=32,
    num_query_groups=2,
    add_qkv_bias=True,
    untie_embeddings_and_output_weights=True,
)
WITH_SPEECH = Vocabulary(num_text_ids=151_552, num_speech_ids=16_384)


def _llama(layers: int, hidden: int, ffn: int, heads: int, groups: int) -> ModelConfig:
    return ModelConfig(
        num_layers=layers,
        hidden_size=hidden,
        ffn_hidden_size=ffn,
        num_attention_heads=heads,
        num_query_groups=groups,
        untie_embeddings_and_output_weights=True,
    )


@pytest.mark.parametrize(
    ("model", "rows", "billions"),
    [
        # As benchmark reports print them, some with and some without the norms' 0.005 %.
        (_llama(32, 4096, 11008, 32, 32), 32_000, 6.738),  # Llama 2 7B
        (_llama(40, 5120, 13824, 40, 40), 32_000, 13.015),
        (_llama(80, 8192, 28672, 64, 8), 32_000, 68.975),
        (_llama(32, 4096, 14336, 32, 8), 128_256, 8.030),  # Llama 3 8B
        (_llama(80, 8192, 28672, 64, 8), 128_256, 70.552),
        (_llama(126, 16384, 53248, 128, 8), 128_256, 405.849),
        (GLM4_9B, 151_552, 9.400),
    ],
)
def test_published_counts(model: ModelConfig, rows: int, billions: float) -> None:
    assert model_parameters(model, vocabulary_rows=rows).total / 1e9 == pytest.approx(billions, rel=1e-4)


def test_glm4_with_speech() -> None:
    assert WITH_SPEECH.padded_size == 168_064
    assert model_parameters(GLM4_9B, vocabulary_rows=151_552).total == 9_399_951_360
    assert model_parameters(GLM4_9B, vocabulary_rows=WITH_SPEECH.padded_size).total == 9_535_217_664


@pytest.mark.parametrize("family", ["llama", "qwen2", "glm"])
def test_transformers_builds_as_many(family: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GlmConfig, LlamaConfig, Qwen2Config

    if family == "glm":
        config, model = GlmConfig(), GLM4_9B  # its defaults are GLM-4-9B's
    else:
        tied = family == "qwen2"
        shape = {"num_hidden_layers": 3, "hidden_size": 96, "intermediate_size": 200, "vocab_size": 500}
        shape |= {"num_attention_heads": 6, "num_key_value_heads": 3, "tie_word_embeddings": tied}
        config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[family](**shape)
        model = dataclasses.replace(
            _llama(3, 96, 200, 6, 3), add_qkv_bias=tied, untie_embeddings_and_output_weights=not tied
        )
    with torch.device("meta"):
        theirs = AutoModelForCausalLM.from_config(config)
    found = sum(parameter.numel() for parameter in theirs.parameters())
    assert model_parameters(model, vocabulary_rows=config.vocab_size).total == found


def test_ranks_of_a_replica_hold_the_model_and_its_copies() -> None:
    """Norms on every tensor parallel rank; a tied embedding on the first and the last stage."""
    tied = dataclasses.replace(GLM4_9B, untie_embeddings_and_output_weights=False)
    for model, table_copies in ((GLM4_9B, 0), (tied, 1)):
        whole = model_parameters(model, vocabulary_rows=WITH_SPEECH.padded_size)
        held = [
            rank_parameters(
                model, vocabulary_rows=WITH_SPEECH.padded_size, tensor_size=4, layers_per_stage=[12, 28], stage=stage
            )
            for stage in (0, 1)
        ]
        total = sum((each for each in held for _ in range(4)), Parameters())
        assert total.total == whole.total + 3 * whole.norms + table_copies * whole.embedding


def test_the_table_lists_every_rank_and_the_sum() -> None:
    lines = list(describe(GLM4_9B, vocabulary_rows=168_064, tensor_size=4, layers_per_stage=[20, 20]))
    assert [line.split()[:3] for line in lines[1:9]] == [[str(r), str(r // 4), str(r % 4)] for r in range(8)]
    assert lines[-1].startswith("whole model") and lines[-1].endswith("9,535,217,664")


LAYOUTS = [
    {"tensor_model_parallel_size": 4, "pipeline_model_parallel_size": 2, "sequence_parallel": True},
    {"tensor_model_parallel_size": 2, "pipeline_model_parallel_size": 4},
]


@pytest.mark.parametrize("degrees", LAYOUTS, ids=["tensor 4 x pipeline 2", "tensor 2 x pipeline 4"])
def test_megatron_builds_as_many_on_every_rank_of_9b(degrees: dict[str, int]) -> None:
    from megatron_speech.model.dry_run import check_parameters

    layout = ParallelLayout.one_replica(ParallelConfig(**degrees))
    assert check_parameters(GLM4_9B, vocabulary=WITH_SPEECH, layout=layout) == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"untie_embeddings_and_output_weights": False},
        {"add_qkv_bias": False, "kv_channels": 64},
        {"qk_layernorm": True},
    ],
    ids=["tied", "no bias, other heads", "q and k norms"],
)
def test_megatron_builds_as_many_of_other_shapes(changes: dict[str, object]) -> None:
    from megatron_speech.model.dry_run import check_parameters

    model = dataclasses.replace(GLM4_9B, num_layers=8, **changes)
    for degrees in (
        {},
        {"tensor_model_parallel_size": 8},
        {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2},
    ):
        layout = ParallelLayout.one_replica(ParallelConfig(**degrees))
        check_parameters(model, vocabulary=WITH_SPEECH, layout=layout)


def test_weights_that_planning_does_not_know_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from megatron_speech.model import builder, dry_run

    shape = builder.transformer_shape
    monkeypatch.setattr(builder, "transformer_shape", lambda model: {**shape(model), "attention_output_gate": True})
    model = dataclasses.replace(GLM4_9B, num_layers=1)
    with pytest.raises(ValueError, match=r"rank 0: megatron-core makes .* planning says"):
        dry_run.check_parameters(model, vocabulary=WITH_SPEECH, layout=ParallelLayout.one_replica(ParallelConfig()))


def test_the_tool_lists_the_glm4_run_without_torch() -> None:
    code = (
        "import sys, runpy\nsys.modules['torch'] = None\nsys.argv = ['plan_parameters.py', *sys.argv[1:]]\n"
        f"runpy.run_path({str(ROOT / 'tools' / 'plan_parameters.py')!r}, run_name='__main__')"
    )
    words = ["--config", "examples/glm4_9b/pretrain.yaml", "--num_text_ids", "151552", "--num_speech_ids", "16384"]
    shown = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert "padded to 168,064 rows" in lines[0] and lines[-1].split()[-1] == "9,535,217,664"
