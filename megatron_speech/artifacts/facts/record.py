"""Frozen dataclasses that are JSON objects on disk: written with `to_json`, read back and checked with `from_json`.

Settings are parsed by `config.parsing.build`, which knows command lines and takes one value for a list of one. Here
every value is taken exactly as it stands, so an object that is read and written again has the same bytes.
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
"""In a field's metadata: its key in JSON, where that is no Python name."""


class Absent(Enum):
    """The value of a field that a JSON object leaves out, where null says something else."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT

_SCALARS: dict[Any, set[type]] = {
    str: {str},
    bool: {bool},
    int: {int, bool},  # a count of one may stand there as true: so the counter of a single item wrote it
    float: {int, float},
    types.NoneType: {types.NoneType},
}
"""What JSON gives for each type of a field."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object whose keys are the fields of a subclass, in their order."""

    def to_json(self) -> dict[str, Any]:
        """The object as plain JSON types; fields that have their default are left out."""
        values, schema = {}, cast(Hashable, type(self))
        for key, field in _fields(schema).items():
            value = getattr(self, field.name)
            if value is not field.default:
                values[key] = _plain(value)
        return values

    @classmethod
    def from_json(cls, values: Any, at: str = "") -> Self:
        """The record that a JSON object holds; ValueError names the first key that is missing or of another type.

        Other keys are passed over. `at` is the dotted key of the object itself, for errors.
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
    """Of each field: its key, itself, its type, and what is taken as it stands."""
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
    """`value` as one of `kind`; ValueError names `key` where it is none."""
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
    """The types of a union, or the type itself, each with its origin and its arguments."""
    return [
        (each, Record if isinstance(each, type) and issubclass(each, Record) else typing.get_origin(each), args)
        for each in alternatives(kind)
        for args in [typing.get_args(each)]
    ]


def _has_form(kind: Any, origin: Any, value: Any) -> bool:
    """Whether a value is an object, a list or a scalar as `kind` is; what it holds is checked later."""
    if kind in _SCALARS:
        return type(value) in _SCALARS[kind]
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin is tuple:
        return isinstance(value, list)
    return kind is Any or (isinstance(value, Mapping) and origin in (dict, Record))


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:60] or "''"
