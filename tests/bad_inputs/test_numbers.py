"""Every number of every command, with values that no run can mean."""

from __future__ import annotations

import math
from typing import Any

import pytest

from megatron_speech.config.parsing.build import Builder, alternatives
from megatron_speech.config.parsing.given import Word, merged
from tests.bad_inputs.test_tables import keys_of
from tests.schemas import TOOLS, least_settings, schema

# What an entry of a mapping needs beside the key that is tried.
_ENTRIES: dict[str, dict[str, Any]] = {
    "cloze": {"texts": "a", "codes": "b"},
    "geo_qa": {"texts": "a", "codes": "b"},
    "evaluation": {"vocabulary": "v", **{name: {"texts": "a", "codes": "b"} for name in ("cloze", "geo_qa")}},
    "noise": {"speech_tokenizer": "a"},
    "corpora": {"own": {"path": "a"}},
    "sources": {"own": {"audio": "a"}},
    "first": {"own": {"pairs": "a", "tokens": 1}},
    "data": {
        "sources": {"own": {"folder": "a", "task": "text"}},
        "validation": {"own": {"folder": "a", "task": "text"}},
    },
    "train": {"batch_ramp": {"start": 1, "increment": 1, "samples": 1}},
}
_ENTRIES_OF = {
    "train_causal_decoder": {key: {"own": {"audio": "a", "codes": "b"}} for key in ("sources", "validation")},
}
"""The same of single commands."""


def numbers(tool: str) -> list[tuple[str, list[Any]]]:
    """Key and types of every setting that is a number, but the seeds, which any number may be."""
    keys = [(key, alternatives(hint)) for key, hint in keys_of(schema(tool)) if not key.endswith("seed")]
    return [(key, kinds) for key, kinds in keys if int in kinds or float in kinds]


def refusal(tool: str, key: str, value: Any) -> str:
    """What is said where all else is right; empty if the value is accepted."""
    first, *rest = key.split(".")
    nested = value
    for name in reversed(rest):
        nested = {name: nested}
    entries = _ENTRIES | _ENTRIES_OF.get(tool, {})
    needed = {first: entries[first]} if first in entries and rest else {}
    builder = Builder()
    try:
        builder.section(schema(tool), merged(merged(least_settings(tool), needed), {first: nested}))
    except ValueError as error:
        return str(error)
    assert not builder.missing
    return ""


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if numbers(tool) and tool != "plan_run"])
def test_values_that_no_number_can_have(tool: str) -> None:
    for key, kinds in numbers(tool):
        said = refusal(tool, key, -(2**62))
        assert said and "\n" not in said and key.rpartition(".")[2] in said, (key, said)
        for value in (math.nan, math.inf, -math.inf, 10**400):
            assert refusal(tool, key, value).startswith(f"{key}="), key
        for text in ("64", "0.5"):
            said = refusal(tool, key, text)
            fits = float in kinds or text == "64"
            assert said.startswith(f"{key}='{text}' is text and must be " if fits else f"{key}={text} must be "), said


def test_a_word_of_the_command_line_has_no_quotes() -> None:
    assert refusal("pretrain", "train.tokens", Word("64")) == ""
