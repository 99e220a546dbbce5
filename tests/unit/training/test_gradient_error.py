"""Gradients in several number formats beside float32's: nothing where nothing differs, more where more is rounded."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.reports.precision_report import GradientErrorConfig
from megatron_speech.config.run.data import DataConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from tests.ranks import run_ranks
from tests.toy_runs import MODEL, SEQ_LENGTH, VOCABULARY, make_sources


def test_measures_errors_of_each_part(tmp_path: Path) -> None:
    run_ranks(_save_weights, 1, tmp_path / "weights")
    formats = {
        "float32": PrecisionConfig(dtype="float32"),
        "bfloat16": PrecisionConfig(dtype="bfloat16"),
        "tensorwise": PrecisionConfig(dtype="float32", fp8="hybrid", fp8_recipe="tensorwise", fp8_emulation=True),
        "delayed": PrecisionConfig(dtype="bfloat16", fp8="hybrid", fp8_emulation=True),
    }
    config = GradientErrorConfig(
        checkpoint=tmp_path / "weights",
        output=tmp_path / "gradients",
        data=DataConfig(seq_length=SEQ_LENGTH, sources=make_sources(tmp_path)),
        precisions=formats,
        warm_up=2,
        passes=2,
    )
    run_ranks(_measure, 1, config)
    facts = read_manifest(config.output).facts
    errors = facts["errors"]
    assert all(errors["float32"][part]["relative_error"] == 0 for part in ("speech rows", "text rows", "layers"))
    for part in ("speech rows", "layers"):
        found = {name: errors[name][part]["relative_error"] for name in formats}
        assert 0 < found["bfloat16"] < found["tensorwise"] < 0.5 and 0 < found["delayed"] < 0.5, found
        assert 0.8 < errors["tensorwise"][part]["cosine"] < errors["bfloat16"][part]["cosine"] < 1
    assert 0 < facts["targets"] <= 2 * SEQ_LENGTH


def test_error_and_cosine_by_hand() -> None:
    from megatron_speech.training.gradient_error import compare

    found = compare(torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 0.0]]))
    assert vars(found) == pytest.approx({"relative_error": math.sqrt(20) / 5, "cosine": 0.6})


@pytest.mark.parametrize(("name", "value"), [("passes", 0), ("micro_batch_size", 0), ("warm_up", -1)])
def test_nonsense_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}={value} must be at least"):
        GradientErrorConfig(checkpoint=Path("a"), output=Path("b"), data=DataConfig(), **{name: value})


def _save_weights(rank: int, world_size: int, init_method: str, folder: Path) -> None:
    from megatron_speech.checkpoint.distributed.save_load import save_model
    from megatron_speech.model.builder import build_model
    from megatron_speech.parallel import groups
    from megatron_speech.parallel.layout import ParallelLayout

    parallel = ParallelConfig()
    groups.initialize(ParallelLayout.of(parallel, world_size=1), seed=0, rank=rank, init_method=init_method)
    # Weights that bfloat16 holds, so that formats differ in what they compute alone.
    chunks = build_model(
        MODEL, vocabulary=VOCABULARY, parallel=parallel, precision=PrecisionConfig(dtype="bfloat16"), seed=1
    )
    save_model(folder, chunks, model=MODEL, vocabulary=VOCABULARY)


def _measure(rank: int, world_size: int, init_method: str, config: GradientErrorConfig) -> None:
    from megatron_speech.training.gradient_error import gradient_error

    gradient_error(config)
