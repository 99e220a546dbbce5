"""The first thing that does not fit: given settings beside their schema, named by dotted key, value and rule.

jsonargparse decides what is accepted. But where it refuses an optional section or one of several by name, its text
lists every type it tried and not the key, and it takes null for a number; so the values are walked here before it sees
them. Price: a second, looser statement of which value fits which type; what it does not understand is left to
jsonargparse's own words.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from megatron_speech.config.given import Load, Word


def first_mistake(schema: type, values: Mapping[str, Any], load: Load) -> str | None:
    """One line on the first of `values` that `schema` does not take, or on the first key it lacks; None if all fit."""
    return next(_in_section(schema, values, "", load), None)


def _in_section(schema: Any, values: Mapping[str, Any], prefix: str, load: Load) -> Iterator[str]:
    hints = typing.get_type_hints(schema)
    fields = {field.name: field for field in dataclasses.fields(schema)}
    for name, value in values.items():
        if name in fields:
            yield from _in_value(hints[name], value, f"{prefix}{name}", load)
        else:
            near = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys there are {', '.join(fields)}"
            yield f"{prefix}{name}: no such key; {hint}"
    for name, field in fields.items():
        if name in values or not field.default is field.default_factory is dataclasses.MISSING:
            continue
        if dataclasses.is_dataclass(hints[name]):
            yield from _in_section(hints[name], {}, f"{prefix}{name}.", load)
        else:
            yield f"{prefix}{name} is missing; it has no default, give it"


def _in_value(kind: Any, value: Any, key: str, load: Load, suffix: str = "") -> Iterator[str]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(kind) if each is not types.NoneType]
        if len(kinds) == 1 and not (isinstance(value, Word) and _is_null(value, load)) and value is not None:
            yield from _in_value(kinds[0], value, key, load, " or null")
        return
    if isinstance(value, Word) and kind not in (str, Path):
        try:
            value = load(str(value))
        except yaml.YAMLError:
            yield f"{key}={_shown(str(value))} must be {_rule(kind)}{suffix}; correct it"
            return
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        yield from _in_section(kind, value, f"{key}.", load)
    elif origin is dict and isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _in_value(args[1], entry, f"{key}.{name}", load)
    elif origin in (list, tuple) and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _in_value(args[0], entry, f"{key}[{index}]", load)
    elif not _fits(kind, value):
        yield f"{key}={_shown(value)} must be {_rule(kind)}{suffix}; correct it"


def _is_null(word: Word, load: Load) -> bool:
    """Whether a word says null; text that is no YAML is text."""
    try:
        return load(str(word)) is None
    except yaml.YAMLError:
        return False


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value can be read as a type without parts; true for types that are not known here."""
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if kind is bool:
        return isinstance(value, bool | str)
    if kind in (int, float):
        return not isinstance(value, bool) and isinstance(value, kind | int | str) and _converts(kind, value)
    if kind in (str, Path):
        return isinstance(value, str)
    return not dataclasses.is_dataclass(kind) and typing.get_origin(kind) not in (dict, list, tuple)


def _converts(kind: Callable[[Any], Any], value: Any) -> bool:
    """Whether a value is a number of a kind: NaN is none, and infinity is written .inf, as YAML has it."""
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return False
    return not (math.isnan(number) or (isinstance(value, str) and math.isinf(number)))


def _shown(value: Any) -> str:
    """A value as YAML writes it, on one line and short."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())
    return text if len(text) < 60 else f"{text[:57]}..."


def _rule(kind: Any) -> str:
    """What a value of a type looks like, to be read after "must be"."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return f"a section with the keys {', '.join(field.name for field in dataclasses.fields(kind))}"
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is dict:
        return "a mapping of names to values"
    if origin in (list, tuple):
        return "a list in brackets"
    return {int: "an integer", float: "a number", bool: "true or false"}.get(kind, "text")
