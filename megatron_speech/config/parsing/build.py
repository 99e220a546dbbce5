"""Builds a frozen dataclass from nested plain data, and names the first bad key by its dotted path.

Types are exact: "3" is not a number, 3 is not text, and NaN and infinity are not numbers. A single value is accepted
where a list is expected. No value is ever resolved to a class or a module.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megatron_speech.config.parsing.given import Word


class Builder:
    """Makes dataclasses from nested mappings, and collects required keys without a value in `missing`."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def section(self, schema: Any, values: Mapping[str, Any], prefix: str = "", default: Any = None) -> Any:
        """Build an instance of `schema`; if required keys are missing, return the mapping of built values instead.

        Keys absent from `values` come from the instance `default`, or else from the schema's defaults. Raises
        ValueError for the first bad key or value.
        """
        before = len(self.missing)
        hints, fields = typing.get_type_hints(schema), {field.name: field for field in dataclasses.fields(schema)}
        for name in values:
            if name not in fields:
                raise ValueError(_no_such_key(f"{prefix}{_shown(name)}", str(name), fields))
        built = {}
        for name, field in fields.items():
            standard = default_of(field, default)
            if name in values:
                built[name] = self.value(hints[name], values[name], f"{prefix}{name}", standard)
            elif standard is not dataclasses.MISSING:
                built[name] = standard
            elif dataclasses.is_dataclass(hints[name]):
                built[name] = self.section(hints[name], {}, f"{prefix}{name}.")
            else:
                self.missing.append(f"{prefix}{name}")
        if len(self.missing) > before:
            return built
        try:
            return schema(**built)
        except ValueError as error:
            named = re.match(r"\w+", str(error))
            raise ValueError(f"{prefix if named and named[0] in fields else ''}{error}") from error

    def value(self, kind: Any, value: Any, key: str, default: Any = None) -> Any:
        """Convert `value` to the type `kind`: a section, mapping, list or scalar. Raises ValueError, naming `key`."""
        plain = value.value if isinstance(value, Word) else value
        if plain is None and types.NoneType in alternatives(kind):
            return None
        # Choose the member of a union that fits, then build it: section or mapping, list, any data, scalar.
        repeated = isinstance(value, Word) and value.earlier
        part = _alternative(kind, listed=isinstance(plain, list) or bool(repeated))
        origin, args = typing.get_origin(part), typing.get_args(part)
        if dataclasses.is_dataclass(part) or origin is dict:
            mapping = value.mapping if isinstance(value, Word) else value
            if not isinstance(mapping, Mapping):
                none = ", or write {} for none" if plain is None and default == {} else ""
                raise ValueError(f"{_mistake(kind, value, key)}{none}")
            if origin is not dict:
                return self.section(part, mapping, f"{key}.", default if isinstance(default, part) else None)
            return {_name(name, key): self.value(args[1], entry, f"{key}.{name}") for name, entry in mapping.items()}
        if origin in (list, tuple):
            items = value.items if isinstance(value, Word) else plain if isinstance(plain, list) else [plain]
            if plain is None or isinstance(plain, Mapping) or (is_fixed(part) and len(items) != len(args)):
                raise _mistake(kind, value, key)
            return origin(self.value(args[0], item, f"{key}[{index}]") for index, item in enumerate(items))
        if part is Any:
            return _data(value, key)
        if _is_text(part):
            plain = str(value) if isinstance(value, Word) else value
        if part is Path and isinstance(plain, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", plain):
            raise ValueError(f"{key}={_shown(plain)} is a URL, and this must be a path; copy it to a disk here")
        if not _fits(part, plain) or (plain == "" and Path in alternatives(kind)):
            raise _mistake(kind, value, key)
        return plain if typing.get_origin(part) is typing.Literal else part(plain)


def build_section(schema: Any, values: Mapping[str, Any], *, prefix: str = "") -> Any:
    """Build an instance of `schema` from `values`; ValueError names the first bad or missing key with `prefix`."""
    builder = Builder()
    section = builder.section(schema, values, prefix)
    require_given(builder.missing)
    return section


def require_given(missing: Sequence[str]) -> None:
    """Raise ValueError that names the `missing` keys, if any."""
    if missing:
        one, *more = missing
        listed = any("[" in key for key in missing)  # no option reaches into a list
        options = "" if listed else f" {' '.join(map(_option, missing))} or"
        raise ValueError(
            f"{', '.join(missing)} are missing; they have no default, give them:{options} their keys in the YAML"
            if more
            else f"{one} is missing; it has no default, give it:{options} {one.rpartition('.')[2]}: in the YAML"
        )


def _option(key: str) -> str:
    """The option that gives `key`, as in `--model.base BASE`."""
    return f"--{key} {key.rpartition('.')[2].upper()}"


def alternatives(kind: Any) -> list[Any]:
    """Member types of a union, or a list of the one type."""
    return list(typing.get_args(kind)) if typing.get_origin(kind) in (typing.Union, types.UnionType) else [kind]


def default_of(field: dataclasses.Field[Any], instance: Any = None) -> Any:
    """Default value of a field: its value in `instance` if given, else the schema's default or MISSING."""
    if instance is not None:
        return getattr(instance, field.name)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def entry_of(kind: Any) -> tuple[type, str] | None:
    """Find the dataclass inside a section, mapping or list type, and the key suffix that leads to one entry."""
    for each in alternatives(kind):
        entry = (typing.get_args(each) or [None])[-1]
        if isinstance(each, type) and dataclasses.is_dataclass(each):
            return each, ""
        if isinstance(entry, type) and dataclasses.is_dataclass(entry):
            return entry, ".<name>" if typing.get_origin(each) is dict else "[]"
    return None


def rule(kind: Any) -> str:
    """Describe what a value of type `kind` looks like; completes the phrase "must be ..."."""
    kinds = alternatives(kind)
    if len(kinds) > 1:
        return " or ".join(dict.fromkeys("null" if each is types.NoneType else rule(each) for each in kinds))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return f"a section with the keys {', '.join(field.name for field in dataclasses.fields(kind))}"
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is dict:
        return "a mapping of names to values"
    if is_fixed(kind):
        return f"a list in brackets of {len(args)} values"
    if origin in (list, tuple):
        return "a list in brackets"
    names = {int: "an integer", float: "a number", bool: "true or false", Path: "a path"}
    return names.get(kind, "text")


def is_fixed(kind: Any) -> bool:
    """Whether `kind` is a tuple of fixed length."""
    return typing.get_origin(kind) is tuple and typing.get_args(kind)[-1] is not ...


def _alternative(kind: Any, *, listed: bool) -> Any:
    """Select the union member to try: the list type if `listed`, otherwise the first type that is not a list."""
    kinds = [each for each in alternatives(kind) if each is not types.NoneType]
    return next((each for each in kinds if (typing.get_origin(each) in (list, tuple)) == listed), kinds[0])


def _is_text(kind: Any) -> bool:
    return kind in (str, Path) or typing.get_origin(kind) is typing.Literal


def _fits(kind: Any, value: Any) -> bool:
    if typing.get_origin(kind) is typing.Literal:
        return isinstance(value, str) and value in typing.get_args(kind)
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    return isinstance(value, str) and _readable(value)


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer too large for a float
        return False


def _readable(text: str) -> bool:
    """Whether a file or path can hold `text`: no NUL, and no lone surrogates (bytes that were not UTF-8)."""
    return "\0" not in text and not re.search("[\ud800-\udfff]", text)


def _data(value: Any, key: str) -> Any:
    """Accept any value that YAML and JSON can write; command-line words are read as YAML."""
    value = value.value if isinstance(value, Word) else value
    if isinstance(value, Mapping):
        return {_name(name, key): _data(entry, f"{key}.{name}") for name, entry in value.items()}
    if isinstance(value, list):
        return [_data(entry, f"{key}[{index}]") for index, entry in enumerate(value)]
    if value is not None and not any(_fits(kind, value) for kind in (bool, int, float, str)):
        raise ValueError(f"{key}={_shown(value)} must be text, a number, true, false or null; correct it")
    return value


def _name(name: Any, key: str) -> str:
    if not isinstance(name, str) or not name or not _readable(name):
        raise ValueError(f"{key}: the name {_shown(name)} must be text; write it in quotes")
    return name


def _mistake(kind: Any, value: Any, key: str) -> ValueError:
    if _is_quoted(kind, value):
        return ValueError(f"{key}='{value}' is text and must be {rule(kind)}; leave the quotes out")
    large = type(value.value if isinstance(value, Word) else value) is int and int in alternatives(kind)
    wanted = rule(kind).replace("an integer", "an integer of at most 64 bits") if large else rule(kind)
    return ValueError(f"{key}={_shown(value)} must be {wanted}; correct it")


def _is_quoted(kind: Any, value: Any) -> bool:
    """Whether a text of a file would fit without its quotes."""
    if not isinstance(value, str) or isinstance(value, Word):
        return False
    plain = Word(value).value
    return not isinstance(plain, str) and any(_fits(each, plain) for each in alternatives(kind))


def _no_such_key(key: str, name: str, fields: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the keys there are {', '.join(fields)}"
    return f"{key}: no such key; {hint}"


def _shown(value: Any) -> str:
    """Format a value as YAML on one line, shortened to 60 characters."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())
    return text if 0 < len(text) < 60 else f"{text[:57]}..." if text else "''"
