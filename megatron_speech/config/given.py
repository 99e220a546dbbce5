"""What a user gave: YAML files and dotted overrides as one nested mapping, read strictly.

YAML lets a key that stands twice take its last value without a word, so that an edit above it is lost. Here that is an
error with file, line and key. The run's values come from jsonargparse; these are what `mistakes` looks through when
something does not fit. Price: every file is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Load = Callable[[str], Any]
"""YAML text to its value, as the parser reads it."""


class Word(str):
    """A value from the command line: the text itself where text is wanted, otherwise YAML."""


def given_settings(args: Sequence[str], load: Load) -> dict[str, Any]:
    """Files and overrides in the order of `args`, later ones winning key by key; ValueError names a faulty file."""
    values: dict[str, Any] = {}
    for word, following in zip(args, [*args, "--"][1:], strict=True):
        key, separator, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or (not separator and following.startswith("--")):
            continue  # no option, or one without value
        text = text if separator else following
        _merge(values, read_settings(Path(text), load) if key == "config" else _nested(key.split("."), Word(text)))
    values.pop("print_config", None)
    return values


def read_settings(path: Path, load: Load) -> dict[str, Any]:
    """The mapping in a YAML file; ValueError or FileNotFoundError with file and line if it is none or repeats a key."""
    if not path.is_file():
        raise FileNotFoundError(f"--config {path}: no such file; correct the path")
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"--config {path}: not UTF-8 ({error}); write it as plain text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        raise ValueError(
            f"--config {path}{place}: not YAML ({getattr(error, 'problem', error)}); correct it"
        ) from error
    if not isinstance(tree, yaml.MappingNode):
        raise ValueError(f"--config {path}: must be a mapping of keys to values; write it as key: value")
    for key, first, line in _repeated(tree, ""):
        raise ValueError(f"--config {path}:{line}: key {key} already stands in line {first}; keep one of them")
    return dict(load(text))


def _repeated(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int, int]]:
    """(dotted key, first line, line) of every key that a mapping in `node` holds again."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item, prefix)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = f"{prefix}{key.value}", key.start_mark.line + 1
        if name in lines:
            yield name, lines[name], line
        lines[name] = line
        yield from _repeated(value, f"{name}.")


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def _merge(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    for key, value in later.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
