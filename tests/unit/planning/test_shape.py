"""Parameters and FLOPs equal published model sizes and tables; a whole model is the sum of its ranks."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.planning.parameters import model_parameters, rank_parameters
from megatron_speech.planning.shape import Shape
from tests.published_rows import shape_of

ROWS = Path(__file__).resolve().parents[2] / "benchmarks" / "published" / "throughput_rows.csv"
LLAMA = {"head_dim": 128, "groups": 8, "vocabulary": 128256}
NEMOTRON = {"groups": 8, "vocabulary": 256000, "gated": False}
SHAPES = {
    "8B": Shape(layers=32, hidden=4096, ffn=14336, heads=32, **LLAMA),
    "70B": Shape(layers=80, hidden=8192, ffn=28672, heads=64, **LLAMA),
    "405B": Shape(layers=126, hidden=16384, ffn=53248, heads=128, **LLAMA),
    "15B": Shape(layers=32, hidden=6144, ffn=24576, heads=48, head_dim=128, **NEMOTRON),
    "340B": Shape(layers=96, hidden=18432, ffn=73728, heads=96, head_dim=192, **NEMOTRON),
    "9B": Shape(layers=40, hidden=4096, ffn=13696, heads=32, groups=2, head_dim=128, vocabulary=151552, qkv_bias=True),
}
PUBLISHED = {
    "8B": 8_030_261_248,
    "70B": 70_553_706_496,
    "405B": 405_853_388_800,
    "15B": 15.6e9,
    "340B": 341e9,
    "9B": 9_399_951_360,
}


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_equal_published_sizes(name: str) -> None:
    exact = isinstance(PUBLISHED[name], int)
    assert SHAPES[name].parameters == (PUBLISHED[name] if exact else pytest.approx(PUBLISHED[name], rel=0.005))


def test_flops_equal_both_conventions_of_published_tables() -> None:
    checked = 0
    with ROWS.open(newline="") as file:
        for raw in csv.DictReader(file):
            if not raw["calc_full"] or not raw["hidden"]:
                continue
            shape, length = shape_of(raw), int(float(raw["seq"]))
            for convention in ("full", "causal"):
                expected = float(raw[f"calc_{convention}"])
                found = shape.flops_per_token(length, convention).total
                assert found == pytest.approx(expected, rel=0.002), raw["row_id"]
            checked += 1
    assert checked > 150


def test_old_tables_count_grouped_queries_as_full_heads() -> None:
    for name, percent in (("15B", 12.9), ("340B", 17.1)):
        shape = SHAPES[name]
        old, new = (each.flops_per_token(4096).total for each in (shape.without_groups(), shape))
        assert 100 * (old / new - 1) == pytest.approx(percent, abs=0.1)


@given(
    layers=st.integers(1, 8),
    tensor=st.sampled_from([1, 2, 4]),
    stages=st.integers(1, 4),
    untied=st.booleans(),
    bias=st.booleans(),
    norm=st.booleans(),
)
def test_a_model_is_the_sum_of_its_ranks(
    *, layers: int, tensor: int, stages: int, untied: bool, bias: bool, norm: bool
) -> None:
    model = ModelConfig(
        num_layers=layers * stages,
        untie_embeddings_and_output_weights=untied,
        add_qkv_bias=bias,
        qk_layernorm=norm,
    )
    whole = model_parameters(model, vocabulary_rows=1024)
    assert Shape.of(model, vocabulary_rows=1024).parameters == whole.total
    ranks = [
        rank_parameters(
            model, vocabulary_rows=1024, tensor_size=tensor, layers_per_stage=[layers] * stages, stage=stage
        )
        for stage in range(stages)
    ]
    copies = whole.norms * (tensor - 1)  # every tensor parallel rank holds the norms
    tied = 0 if untied or stages == 1 else 1024 * model.hidden_size  # the head is a copy on the last stage
    assert tensor * sum(rank.total for rank in ranks) == whole.total + copies + tied
