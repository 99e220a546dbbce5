"""Layout strings are read as megatron-core reads them, and those that are no model are refused."""

from __future__ import annotations

import pytest

from megatron_speech.parallel.pipeline_split import chunks_of, layers_of

LAYOUTS = ["Et*3|t*5L", "E|tt|t|tL", "Ettt|(tt|)*3tL", "Et,(t|t)*2,tt|t|L", "E(t|)*4t*2L"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_agrees_with_megatron_core(layout: str) -> None:
    from megatron.core.transformer.pipeline_parallel_layer_layout import PipelineParallelLayerLayout

    letters = {"embedding": "E", "decoder": "t", "loss": "L"}
    theirs = PipelineParallelLayerLayout.parse_str_to_list(layout)
    assert chunks_of(layout) == ["".join(letters[part.name] for part in chunk) for chunk in theirs]
    assert layers_of(layout) == [sum(part.name == "decoder" for part in chunk) for chunk in theirs]


@pytest.mark.parametrize(
    "layout", ["", "tt|tL", "Ett|t", "EttL|t", "Ett||tL", "EEt|L", "Ett|mL", "E|L", "Et*|L", "et|L"]
)
def test_what_is_no_model_is_refused(layout: str) -> None:
    with pytest.raises(ValueError, match=r"parallel.pipeline_model_parallel_layout=.* must read E, one t per layer"):
        chunks_of(layout)
