"""A checkpoint on one rank, at tensor 2 and at pipeline 2 scores and writes what its export does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.inference.sampling import Sampling
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.lm_evaluation.export import Export
from megatron_speech.lm_evaluation.network import Network
from megatron_speech.parallel import groups
from tests.ranks import run_ranks
from tests.toy_text_models import export, import_text_model, text_model

FAMILIES = {"llama": False, "qwen3": True}
"""Families, and whether their embedding is the output head."""
LAYOUTS = {
    "one rank": (1, ParallelConfig()),
    "tensor 2": (2, ParallelConfig(tensor_model_parallel_size=2)),
    "pipeline 2": (2, ParallelConfig(pipeline_model_parallel_size=2)),
    "tensor 2, pipeline 2": (4, ParallelConfig(tensor_model_parallel_size=2, pipeline_model_parallel_size=2)),
}
END = 256
GREEDY = AnswerSettings(max_new_tokens=12, stop=[END], sampling=Sampling(temperature=0.0))
SAMPLED = AnswerSettings(max_new_tokens=6, stop=[END], sampling=Sampling(temperature=0.9, top_p=0.9), seed=5)


def requests() -> list[tuple[list[int], list[int]]]:
    """Contexts and continuations of many lengths, shared contexts and single ids among them."""
    drawn = random.Random(3)

    def ids(most: int) -> list[int]:
        return [drawn.randrange(281) for _ in range(drawn.randrange(1, most))]

    contexts = [ids(30) for _ in range(8)]
    return [(context, ids(12)) for context in contexts for _ in range(3)] + [([7], [9])]


def measured(network: Network, greedy: Sequence[int]) -> dict[str, object]:
    """What a network says of the requests; `greedy` continues the prompt [5, 6]."""
    asked = [*requests(), ([5, 6], [*greedy]), ([5, 6], [*greedy[:-1], (greedy[-1] + 1) % 281])]
    prompts = [context for context, _ in requests()[::3]]
    options = {"batch_size": 4, "enough": lambda place, tokens: place == 1 and len(tokens) == 3}
    return {
        "scores": network.score(asked),
        "alone": [network.score([each])[0] for each in (*asked[:4], ([7], [9]))],
        "greedy": network.write(prompts, GREEDY, **options),
        "sampled": network.write(prompts, SAMPLED, **options),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of every family, and what its export says."""
    folder = tmp_path_factory.mktemp("lm_evaluation")
    for family, tied in FAMILIES.items():
        here = folder / family
        text_model(here / "text", family, tied=tied)
        base, _ = import_text_model(here)
        network = Export.load(export(here, base), dtype="float32", device="cpu")
        nothing = {"batch_size": 1, "enough": lambda place, tokens: False}
        (greedy,) = network.write([[5, 6]], GREEDY, **nothing)
        torch.save((greedy, measured(network, greedy)), here / "expected.pt")
    return folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_checkpoint_in_any_layout_says_what_its_export_does(exported: Path, name: str) -> None:
    run_ranks(_check_layout, LAYOUTS[name][0], exported, LAYOUTS[name][1], timeout=300)


def _check_layout(rank: int, world_size: int, init_method: str, folder: Path, parallel: ParallelConfig) -> None:
    from megatron_speech.lm_evaluation.checkpoint import Checkpoint

    for family in FAMILIES:
        here = folder / family
        network = Checkpoint.load(
            here / "base",
            here / "vocabulary",
            parallel=parallel,
            precision=PrecisionConfig(dtype="float32"),
            world=(rank, world_size),
            init_method=f"{init_method}-{family}",
        )
        if rank:
            network.follow()
            groups.shutdown()
            continue
        greedy, expected = torch.load(here / "expected.pt", weights_only=False)
        found = measured(network, greedy)
        network.release()
        assert found["greedy"] == expected["greedy"] and found["sampled"] == expected["sampled"]
        assert len(found["greedy"][1]) == 3, "writing ended where enough was written"
        for kind in ("scores", "alone"):
            for (ours, chosen), (theirs, most_likely) in zip(found[kind], expected[kind], strict=True):
                assert abs(ours - theirs) < 1e-4 and chosen == most_likely
        *_, right, wrong = found["scores"]
        assert right[1] and not wrong[1]


def test_a_world_of_another_size_than_the_layout_is_refused(exported: Path) -> None:
    from megatron_speech.lm_evaluation.checkpoint import Checkpoint

    for world_size, says in ((4, "4 ranks were started, but the layout has 2; start as many"), (3, "does not divide")):
        with pytest.raises(ValueError, match=says):
            Checkpoint.load(
                exported / "llama" / "base",
                exported / "llama" / "vocabulary",
                parallel=ParallelConfig(tensor_model_parallel_size=2),
                precision=PrecisionConfig(dtype="float32"),
                world=(0, world_size),
            )
