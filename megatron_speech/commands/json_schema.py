"""Describes the YAML file of a command as a JSON schema, for editors that complete and check as one types."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

from megatron_speech.commands.command import PROGRAM, Command
from megatron_speech.commands.table import find
from megatron_speech.config.inspection.commands import SchemaConfig
from megatron_speech.config.parsing.build import alternatives, default_of, is_fixed
from megatron_speech.config.parsing.help import docs
from megatron_speech.config.parsing.plain import to_dict

_SCALARS: dict[Any, dict[str, Any]] = {
    types.NoneType: {"type": "null"},
    Any: {},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string", "minLength": 1},
}


def schema(config: SchemaConfig) -> None:
    """Print the JSON schema of a command's YAML file. ValueError for a command that reads none."""
    command = find(config.verb)
    if not command.settings:
        raise ValueError(f"verb={config.verb} reads no YAML file; name a command that takes --config")
    print(json.dumps(json_schema(command), indent=1, ensure_ascii=False))


def json_schema(command: Command) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a command's settings."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"{PROGRAM} {command.name}"}
    return {**head, "description": command.summary, **_section(command.schema)}


def _section(section: type, default: Any = None) -> dict[str, Any]:
    """Describe a dataclass; `default` is an instance that supplies the defaults."""
    hints = typing.get_type_hints(section)
    properties, required = {}, []
    for field in dataclasses.fields(section):
        standard = default_of(field, default)
        described = _described(hints[field.name], standard)
        if standard is not dataclasses.MISSING:
            described["default"] = to_dict(standard)
        elif not dataclasses.is_dataclass(hints[field.name]) or described["required"]:
            required.append(field.name)
        properties[field.name] = {"description": docs(section).get(field.name, ""), **described}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _described(kind: Any, default: Any = None) -> dict[str, Any]:
    """Describe a type, or each type of a union."""
    each = [found for part in alternatives(kind) for found in _one(part, default)]
    return each[0] if len(each) == 1 else {"anyOf": each}


def _one(kind: Any, default: Any) -> list[dict[str, Any]]:
    """Descriptions of what one type takes: a list of scalars may also be written as a single value."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return [_section(kind, default if isinstance(default, kind) else None)]
    if origin is typing.Literal:
        return [{"enum": list(args)}]
    if origin is dict:
        return [{"type": "object", "additionalProperties": _described(args[1])}]
    if is_fixed(kind):
        return [{"type": "array", "items": _described(args[0]), "minItems": len(args), "maxItems": len(args)}]
    if origin in (list, tuple):
        item = _described(args[0])
        single = [] if dataclasses.is_dataclass(args[0]) or typing.get_origin(args[0]) is dict else [item]
        return [{"type": "array", "items": item}, *single]
    return [dict(_SCALARS[kind])]
