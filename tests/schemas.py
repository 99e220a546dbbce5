"""The settings class of every command, and the fewest settings that it accepts."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.build import alternatives, default_of

ROOT = Path(__file__).resolve().parents[1]
TOOLS = sorted(name for name, command in COMMANDS.items() if command.settings)
_SOURCE = {"data": {"sources": {"a": {"folder": "packed", "task": "text"}}}}
# Settings with defaults that the rules of a class require all the same.
_ALSO: dict[str, dict[str, Any]] = {
    "judge": {"judges": {"a": {"base_url": "http://localhost", "model": "m"}}},
    "build_vocabulary": {"codebook_size": 4},
    "compare_evaluations": {"evaluations": ["a", "b"]},
    "decode": {"output": "output.wav"},
    "evaluate": {"model": "hf", "held_out": {"sources": {"a": "packed"}}},
    "gradient_error": _SOURCE,
    "import_speech": {"table": "table.jsonl"},
    "plan_mixture": {**_SOURCE, "train": {"tokens": 64}},
    "plan_parameters": {**_SOURCE, "train": {"tokens": 64}},
    "plan_run": {**_SOURCE, "train": {"tokens": 64}},
    "pretrain": {**_SOURCE, "train": {"tokens": 64}},
    "tokenizer_experiments": {"rows": {"a": "--seed 1"}},
    "train_text_to_token": {"train": {"tokens": 64}},
}


def schema(tool: str) -> type:
    """The dataclass that a command parses."""
    return COMMANDS[tool].schema


def least_settings(tool: str) -> dict[str, Any]:
    """Valid settings of a tool with as few keys as possible: those without a default, and `_ALSO`."""
    return {**_least(schema(tool)), **_ALSO.get(tool, {})}


def _least(section: type) -> dict[str, Any]:
    hints = typing.get_type_hints(section)
    needed = [field.name for field in dataclasses.fields(section) if default_of(field) is dataclasses.MISSING]
    return {name: _value(hints[name], name) for name in needed}


def _value(kind: Any, name: str) -> Any:
    kind = alternatives(kind)[0]
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _least(kind)
    if origin is dict:
        return {"a": _value(args[1], name)}
    if origin is typing.Literal:
        return args[0]
    if origin is not None:  # a list
        return [name]
    return 64 if kind is int else name
