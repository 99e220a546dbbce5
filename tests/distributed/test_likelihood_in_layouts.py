"""A checkpoint scores continuations as its export does, in every layout: the same requests, token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.inference.model import LanguageModel
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.vocabulary import Vocabulary
from tests.ranks import run_ranks
from tests.toy_text_models import export, import_text_model, text_model

ABSOLUTE = 1e-4  # nats, float32, never widened
FAMILIES = {"llama": True, "glm": False}
"""Families of models, and whether their embedding is tied."""
VIRTUAL = {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2}
LAYOUTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one rank": (1, {}),
    "data 2": (2, {}),
    "tensor 2": (2, {"tensor_model_parallel_size": 2}),
    "tensor 2, sequence": (2, {"tensor_model_parallel_size": 2, "sequence_parallel": True}),
    "pipeline 2": (2, {"pipeline_model_parallel_size": 2}),
    "pipeline 2, virtual 2": (2, VIRTUAL),
    "context 2": (2, {"context_parallel_size": 2}),
    "pipeline 2, data 2": (4, {"pipeline_model_parallel_size": 2}),
}
SMALL = 130
"""Tokens of a micro-batch, so that the requests fill several, and not equally many on all ranks."""


def requests(vocabulary: Vocabulary) -> list[tuple[list[int], list[int]]]:
    """Contexts of 1 to 40 ids with continuations of 1 to 20, in random order; one has the end of a document in it."""
    draw = np.random.default_rng(3)
    lengths = [
        (1, 1),
        (40, 20),
        (1, 9),
        (7, 1),
        *((int(draw.integers(1, 30)), int(draw.integers(1, 9))) for _ in "x" * 9),
    ]
    made = [tuple(draw.integers(0, vocabulary.size, size).tolist() for size in pair) for pair in lengths]
    return [([vocabulary.end_of_document], made[0][1]), *made, ([5, vocabulary.end_of_document, 7], [3, 2])]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and its export of every family, in folders of that name."""
    folder = tmp_path_factory.mktemp("scored")
    for family, tied in FAMILIES.items():
        here = folder / family
        text_model(here / "text", family, tied=tied)
        base, _ = import_text_model(here)
        export(here, base)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_scores_as_its_export(models: Path, tmp_path: Path, layout: str) -> None:
    world_size, parallel = LAYOUTS[layout]
    run_ranks(_score, world_size, models, ParallelConfig(**parallel), tmp_path, timeout=600)
    for family in FAMILIES:
        model = LanguageModel.load(models / family / "hf")
        expected = model.token_log_probabilities(requests(model.vocabulary))
        for rank in range(world_size):
            found = json.loads((tmp_path / f"{family}-{rank}.json").read_text())
            assert [len(each) for each in found] == [len(each) for each in expected]
            assert np.abs(np.concatenate(found) - np.concatenate(expected)).max() < ABSOLUTE, (family, rank)


def _score(rank: int, world_size: int, init_method: str, models: Path, parallel: ParallelConfig, out: Path) -> None:
    from megatron_speech.training.likelihood import load_scored_model, token_log_probabilities

    layout = ParallelLayout.of(parallel, world_size=world_size)
    groups.initialize(layout, seed=0, rank=rank, init_method=init_method)
    for family in FAMILIES:
        here, precision = models / family, PrecisionConfig(dtype="float32")
        model = load_scored_model(here / "base", here / "vocabulary", parallel=parallel, precision=precision)
        found = token_log_probabilities(model, requests(model.vocabulary), tokens_per_batch=SMALL)
        (out / f"{family}-{rank}.json").write_text(json.dumps([each.tolist() for each in found]))
    groups.shutdown()
