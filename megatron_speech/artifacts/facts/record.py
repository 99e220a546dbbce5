"""Frozen dataclasses that are JSON objects on disk: `to_json` writes them, `from_json` reads and checks them.

Values are not converted, so an object that is read and written again has the same bytes. (`config.parsing.build` parses
settings, and accepts a single value for a list.)
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, Self, cast

from megatron_speech.config.parsing.build import alternatives, is_fixed, rule

KEY = "key"
"""Metadata key of a field for its key in JSON, if that is not a Python name."""


class Absent(Enum):
    """Value of a field that is not in the JSON object, if null has another meaning."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT

_SCALARS: dict[Any, set[type]] = {
    str: {str},
    bool: {bool},
    int: {int, bool},  # older counters of one item wrote true for 1
    float: {int, float},
    types.NoneType: {types.NoneType},
}
"""Python types that JSON values of each field type may have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object; its keys are the fields of a subclass, in order."""

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON types, without the fields that have their default."""
        values, schema = {}, cast(Hashable, type(self))
        for key, field in _fields(schema).items():
            value = getattr(self, field.name)
            if value is not field.default:
                values[key] = _plain(value)
        return values

    @classmethod
    def from_json(cls, values: Any, at: str = "") -> Self:
        """Build the record from a JSON object, ignoring unknown keys; `at` is the object's dotted key, for errors.

        Raises ValueError for the first key that is missing or has a value of another type.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"{at or 'it'}={_shown(values)} must be {rule(cls)}")
        before = f"{at}." if at else ""
        made = {}
        for key, field, kind, plain in _read_as(cast(Hashable, cls)):
            if key not in values:
                if field.default is dataclasses.MISSING:
                    raise ValueError(f"{before}{key} is missing")
            elif type(values[key]) in plain:
                made[field.name] = values[key]
            else:
                made[field.name] = _read(kind, values[key], f"{before}{key}")
        return cls(**made)


@cache
def _fields(schema: Any) -> dict[str, dataclasses.Field[Any]]:
    """Fields of a record by their keys in JSON, in order."""
    return {str(field.metadata.get(KEY, field.name)): field for field in dataclasses.fields(schema)}


@cache
def _read_as(schema: Any) -> list[tuple[str, dataclasses.Field[Any], Any, set[type]]]:
    """For each field: its key, the field, its type, and the types of values that need no conversion."""
    kinds = typing.get_type_hints(schema)
    return [
        (
            key,
            field,
            kinds[field.name],
            set().union(*(_SCALARS.get(each, ()) for each in alternatives(kinds[field.name]))),
        )
        for key, field in _fields(schema).items()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _read(kind: Any, value: Any, key: str) -> Any:
    """Convert `value` to the type `kind`; ValueError names `key` if it does not fit."""
    part, origin, args = next((each for each in _parts(kind) if _has_form(*each[:2], value)), (None, None, ()))
    if part is None or (is_fixed(part) and len(value) != len(args)):
        raise ValueError(f"{key}={_shown(value)} must be {rule(kind)}")
    if origin is tuple:
        if args[0] in _SCALARS and _SCALARS[args[0]].issuperset(map(type, value)):
            return tuple(value)
        return tuple(_read(args[0], entry, f"{key}[{index}]") for index, entry in enumerate(value))
    if origin is dict:
        return {name: _read(args[1], entry, f"{key}.{name}") for name, entry in value.items()}
    return part.from_json(value, key) if origin is Record else value


@cache
def _parts(kind: Any) -> list[tuple[Any, Any, tuple[Any, ...]]]:
    """Split `kind` into the types of its union, each with its origin and its arguments."""
    return [
        (each, Record if isinstance(each, type) and issubclass(each, Record) else typing.get_origin(each), args)
        for each in alternatives(kind)
        for args in [typing.get_args(each)]
    ]


def _has_form(kind: Any, origin: Any, value: Any) -> bool:
    """Whether `value` is an object, list or scalar as `kind` asks; its content is checked later."""
    if kind in _SCALARS:
        return type(value) in _SCALARS[kind]
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin is tuple:
        return isinstance(value, list)
    return kind is Any or (isinstance(value, Mapping) and origin in (dict, Record))


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:60] or "''"
