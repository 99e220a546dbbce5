"""Bulk generation gives the tokens of `recorded_tokens.json`, which older code made: a change of the pass would show.

The logits of this model are far apart against rounding, so another processor gives the same tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_speech.inference.generate import Request, generate_tokens, in_order
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids

RECORDED: dict[str, list[list[Any]]] = json.loads((Path(__file__).parent / "recorded_tokens.json").read_text())
SAMPLINGS = {
    "greedy": Sampling(temperature=0.0),
    "sampled": Sampling(),
    "nucleus": Sampling(temperature=0.8, top_p=0.9),
}


def recorded_requests() -> list[Request]:
    """Twenty-four prompts of 1 to 40 ids."""
    random = np.random.default_rng(0)
    return [
        Request(prompt=random.integers(0, 300, int(length)).tolist(), max_new_tokens=int(limit), seed=number)
        for number, (length, limit) in enumerate(random.integers(1, 41, (24, 2)))
    ]


def options_of(model: LanguageModel, case: str) -> dict[str, Any]:
    """Options of `generate_tokens` for a name such as `greedy speech`."""
    sampling, modality = case.split()
    allowed = None if modality == "any" else allowed_ids(model.vocabulary, modality)
    # A few ids that often come, so that some rows stop early.
    stop = [5, 290, *range(100, 110), *range(310, 315)]
    return {"sampling": SAMPLINGS[sampling], "allowed": allowed, "stop": stop}


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("case", RECORDED)
def test_bulk_generation_gives_the_recorded_tokens(model: LanguageModel, case: str, batch_size: int) -> None:
    requests = recorded_requests()
    made = in_order(generate_tokens(model, requests, **options_of(model, case), batch_size=batch_size), len(requests))
    assert [[each.tokens, each.stopped] for each in made] == RECORDED[case]
