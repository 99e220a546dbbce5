"""Rank arithmetic agrees with megatron-core's own, and mistakes are named with the whole product."""

from __future__ import annotations

import itertools

import pytest

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.parallel.layout import Coordinates, ParallelLayout
from megatron_speech.vocabulary import Vocabulary


def layout(world_size: int, *, tensor: int = 1, pipeline: int = 1, context: int = 1, virtual: int | None = None):
    config = ParallelConfig(
        tensor_model_parallel_size=tensor,
        pipeline_model_parallel_size=pipeline,
        context_parallel_size=context,
        virtual_pipeline_model_parallel_size=virtual,
    )
    return ParallelLayout.of(config, world_size=world_size)


DEGREES = list(itertools.product((1, 2, 4), (1, 3), (1, 2), (1, 2, 5)))


@pytest.mark.parametrize(("tensor", "pipeline", "context", "data"), DEGREES)
def test_coordinates_and_rank_are_inverse(tensor: int, pipeline: int, context: int, data: int) -> None:
    made = layout(tensor * pipeline * context * data, tensor=tensor, pipeline=pipeline, context=context)
    assert made.data_parallel_size == data
    places = [made.coordinates(rank) for rank in range(made.world_size)]
    assert len(set(places)) == made.world_size
    assert [made.rank(place) for place in places] == list(range(made.world_size))


def test_order_is_megatrons() -> None:
    from megatron.core.parallel_state import RankGenerator

    made = layout(24, tensor=2, pipeline=3, context=2)
    theirs = RankGenerator(tp=2, ep=1, dp=2, pp=3, cp=2, order="tp-cp-ep-dp-pp")
    for token, name in (("tp", "tensor"), ("cp", "context"), ("dp", "data"), ("pp", "pipeline")):
        for group in theirs.get_ranks(token):
            places = [vars(made.coordinates(rank)) for rank in group]
            assert [place.pop(name) for place in places] == list(range(len(group)))
            assert all(place == places[0] for place in places)


def test_first_and_last_rank_by_hand() -> None:
    made = layout(8, tensor=2, pipeline=2)
    assert made.coordinates(1) == Coordinates(data=0, pipeline=0, context=0, tensor=1)
    assert made.coordinates(2) == Coordinates(data=1, pipeline=0, context=0, tensor=0)
    assert made.coordinates(7) == Coordinates(data=1, pipeline=1, context=0, tensor=1)


def test_world_that_does_not_divide_shows_the_product() -> None:
    message = (
        "parallel: tensor 2 x pipeline 2 x context 1 = 4 does not divide the world of 3 ranks; start a multiple of 4"
    )
    with pytest.raises(ValueError, match=message):
        layout(3, tensor=2, pipeline=2)


def test_virtual_stages_need_a_pipeline() -> None:
    with pytest.raises(ValueError, match="virtual_pipeline_model_parallel_size=2 must be"):
        layout(2, virtual=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 6}, r"model.num_layers=6 must be a multiple of the pipeline size x virtual size 4"),
        ({"num_attention_heads": 9, "num_query_groups": 3, "hidden_size": 576}, "model.num_attention_heads=9"),
        (
            {"num_attention_heads": 6, "hidden_size": 384, "num_query_groups": 3},
            "model.num_query_groups=3 must be a multiple or a divisor of the tensor parallel size 2",
        ),
        ({"ffn_hidden_size": 689}, "model.ffn_hidden_size=689"),
    ],
)
def test_model_that_cannot_be_cut_is_refused(changes: dict[str, int], message: str) -> None:
    made = layout(4, tensor=2, pipeline=2, virtual=2)
    made.check_model(ModelConfig(), vocabulary=Vocabulary(num_text_ids=10, num_speech_ids=10))
    with pytest.raises(ValueError, match=message):
        made.check_model(ModelConfig(**changes), vocabulary=Vocabulary(num_text_ids=10, num_speech_ids=10))


def test_fewer_key_value_groups_than_tensor_ranks_are_accepted_where_the_projection_can_be_cut() -> None:
    vocabulary = Vocabulary(num_text_ids=10, num_speech_ids=10)
    glm = ModelConfig(num_attention_heads=32, num_query_groups=2, hidden_size=4096, ffn_hidden_size=13696)
    layout(8, tensor=8).check_model(glm, vocabulary=vocabulary)
    narrow = ModelConfig(num_attention_heads=8, num_query_groups=1, kv_channels=6, ffn_hidden_size=64)
    with pytest.raises(ValueError, match="query, key and value width=60 must be a multiple of the tensor parallel"):
        layout(8, tensor=8).check_model(narrow, vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pipeline_model_parallel_layout": "Et|t|tL"}, "has 3 chunks, but pipeline size 2 x virtual size 1 = 2"),
        ({"pipeline_model_parallel_layout": "Et*3|t*4L"}, r"has 7 layers \(t\), but model.num_layers=8"),
        (
            {
                "pipeline_model_parallel_layout": "Et*3|t*5L",
                "recompute_granularity": "full",
                "recompute_method": "uniform",
                "recompute_num_layers": 3,
            },
            "recompute_num_layers=3 must divide the 3, 5 layers",
        ),
    ],
)
def test_layers_that_do_not_fit_their_chunks_are_refused(settings: dict[str, object], message: str) -> None:
    config = ParallelConfig(pipeline_model_parallel_size=2, **settings)
    with pytest.raises(ValueError, match=message):
        made = ParallelLayout.of(config, world_size=2)
        made.check_model(ModelConfig(), vocabulary=Vocabulary(num_text_ids=10, num_speech_ids=10))


def test_padded_vocabulary_must_be_cut_too() -> None:
    odd = Vocabulary(num_text_ids=10, num_speech_ids=10, padding_multiple=1, special_tokens=("a",))
    with pytest.raises(ValueError, match="vocabulary padded size=21"):
        layout(2, tensor=2).check_model(ModelConfig(), vocabulary=odd)


def test_microbatches() -> None:
    assert layout(4, tensor=2).num_microbatches(global_batch_size=8, micro_batch_size=2) == 2
    with pytest.raises(ValueError, match=r"global_batch_size=6 must be a multiple of 4 .*data parallel size 2"):
        layout(4, tensor=2).num_microbatches(global_batch_size=6, micro_batch_size=2)
    with pytest.raises(ValueError, match="interleaved pipeline needs"):
        layout(2, pipeline=2, virtual=2).num_microbatches(global_batch_size=3, micro_batch_size=1)


def test_layout_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, megatron_speech.parallel.layout; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
