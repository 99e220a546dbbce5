"""Formats `--print_config`: the schema as commented YAML with the given settings, to be edited and loaded again."""

from __future__ import annotations

import dataclasses
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from megatron_speech.config.parsing.build import default_of, entry_of
from megatron_speech.config.parsing.help import docs, short_rule
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.yaml_text import write_yaml

_WIDTH = 100


def printed_config(schema: type, values: Mapping[str, Any], *, description: str) -> str:
    """Return YAML of the built `values` and all defaults; required keys without a value are commented out."""
    lines = [*_comment(description), "", *_section(schema, values)]
    return "\n".join(lines) + "\n"


def printed_section(key: str, schema: type, values: Mapping[str, Any], *, description: str) -> str:
    """Return YAML of the section `key` that holds `values` alone, each below its docstring in `schema`."""
    lines = [*_comment(description), f"{key}:"]
    for name, value in values.items():
        lines += [f"  {line}" for line in _comment(docs(schema).get(name, ""))]
        lines.append(f"  {name}: {write_yaml(to_dict(value), flow=True)}")
    return "\n".join(lines) + "\n"


def _section(schema: type, values: Mapping[str, Any], default: Any = None, *, example: bool = False) -> Iterator[str]:
    """Yield the lines of a section: each key with docstring, type and value. An `example` has empty required keys."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind, standard = hints[field.name], default_of(field, default)
        value = values.get(field.name, standard)
        required = standard is dataclasses.MISSING and not dataclasses.is_dataclass(kind)
        if entry_of(kind) == (kind, ""):
            yield from _comment(f"{docs(schema).get(field.name, '').rstrip('.')}:")
        else:
            wanted = f"{'required, ' if required else ''}{short_rule(kind)}"
            if value != standard and not required and entry_of(kind) is None:
                wanted += f", default {write_yaml(to_dict(standard), flow=True)}"
            yield from _comment(f"{docs(schema).get(field.name, '')} [{wanted}]")
        yield from _key(field.name, kind, value, standard, mark="" if example and required else "# ")


def _key(name: str, kind: Any, value: Any, default: Any, *, mark: str) -> Iterator[str]:
    """Yield the lines of a key and its value; `mark` precedes the example of an empty mapping, list or section."""
    found = entry_of(kind)
    # A scalar or a plain list; then a section, a mapping or list with entries, and an empty one with an example.
    if found is None:
        yield f"{mark}{name}:" if value is dataclasses.MISSING else f"{name}: {write_yaml(to_dict(value), flow=True)}"
        return
    entry, suffix = found
    if kind is entry or (not suffix and value):
        given = value if isinstance(value, Mapping) else {}
        yield from _block(f"{name}:", _section(entry, given, default if isinstance(default, entry) else None))
    elif value and value is not dataclasses.MISSING:
        yield f"{name}:"
        plain = to_dict(value)
        entries = (
            [("-", item) for item in plain]
            if suffix == "[]"
            else [(f"{write_yaml(k, flow=True)}:", plain[k]) for k in plain]
        )
        for index, (head, given) in enumerate(entries):
            lines = [line for line in _section(entry, given) if not index or not line.lstrip().startswith("#")]
            yield from (f"  {line}" for line in _block(head, lines))
    else:
        if value is not dataclasses.MISSING:
            yield f"{name}: {write_yaml(to_dict(value), flow=True)}"
        yield f"{mark}{name}:"
        if suffix:
            yield f"{mark}  -" if suffix == "[]" else f"{mark}  <name>:"
        indent = "    " if suffix else "  "
        yield from (f"{mark}{indent}{line}" for line in _section(entry, {}, example=True))


def _block(head: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a section's lines below its head; if no line holds a value, all are commented out."""
    lines = list(lines)
    mark = "# " if all(line.lstrip().startswith("#") for line in lines) else ""
    yield from [f"{mark}{head}", *(f"{mark}  {line}" for line in lines)]


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH - 2, break_on_hyphens=False))
