"""The example in a room's docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest

ROOMS = [
    "artifacts",
    "artifacts.facts",
    "audio",
    "audio.sources",
    "checkpoint",
    "checkpoint.distributed",
    "checkpoint.families",
    "config",
    "config.parsing",
    "config.reports",
    "config.run",
    "config.inspection",
    "config.stages",
    "corpus",
    "data",
    "data.packing",
    "data.plan",
    "data.reading",
    "data.shards",
    "evaluation",
    "evaluation.speech",
    "evaluation.tasks",
    "examples",
    "grouping",
    "inference",
    "lm_evaluation",
    "interleave",
    "metrics",
    "miniature",
    "model",
    "parallel",
    "planning",
    "platform",
    "randomness",
    "reports",
    "reports.miniature",
    "schedules",
    "sequences",
    "speech_decoder",
    "speech_decoder.training",
    "speech_tokenizer",
    "speech_tokenizer.corpus",
    "speech_tokenizer.training",
    "speech_training",
    "storage",
    "text_normalization",
    "text_to_token",
    "text_to_token.engines",
    "text_tokenizer",
    "tokenize_text",
    "training",
    "vocabulary",
]


@pytest.mark.parametrize("room", ROOMS)
def test_the_example_of_a_room_runs(room: str) -> None:
    module = importlib.import_module(f"megatron_speech.{room}")
    results = doctest.testmod(module)
    assert results.attempted, f"megatron_speech/{room.replace('.', '/')}/__init__.py shows no example"
    assert not results.failed
