"""What a user gave: YAML files and dotted overrides, in their order, as one nested mapping of plain data.

Nothing here knows a schema: `build` makes a dataclass of the mapping, and tells what does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megatron_speech.config.parsing.yaml_text import read_yaml


class Word(str):
    """A value from the command line: the text itself where text is wanted, otherwise YAML."""

    earlier: tuple[Word, ...] = ()
    """What the same option gave before: a list's option can be repeated, a mapping's merges."""

    @property
    def value(self) -> Any:
        """The word read as YAML; text that is no YAML is text, and so is an empty word."""
        try:
            value = read_yaml(self)
        except ValueError:
            return str(self)
        return str(self) if value is None and self.strip().lower() not in ("null", "~") else value

    @property
    def items(self) -> list[Any]:
        """The words of a repeated option; a list in brackets begins anew."""
        items: list[Any] = []
        for word in (*self.earlier, self):
            value = word.value
            items = value if isinstance(value, list) else [*items, word]
        return items

    @property
    def mapping(self) -> Mapping[str, Any] | None:
        """The mapping that this word and those before it are, merged key by key; None if this word is none."""
        value = self.value
        if not isinstance(value, Mapping):
            return None
        before = self.earlier[-1].mapping if self.earlier else None
        return merged(before, value) if before is not None else value


def given_settings(args: Sequence[str]) -> dict[str, Any]:
    """Files and overrides in the order of `args`, later ones winning key by key; ValueError names a faulty one."""
    values: dict[str, Any] = {}
    words = iter(args)
    for word in words:
        if not word.startswith("--") or word == "--":
            raise ValueError(f"{word}: no option; write --key value, and a list of several as '[a, b]'")
        key, separator, text = word.removeprefix("--").partition("=")
        if not separator:
            text = next(words, "--")
            if text.startswith("--"):
                raise ValueError(f"--{key}: expected one argument; write --{key} VALUE, or --{key}=VALUE")
        values = merged(values, read_settings(text) if key == "config" else _nested(key.split("."), Word(text)))
    return values


def read_settings(path: str) -> dict[str, Any]:
    """The mapping in a YAML file, empty where it holds comments alone.

    ValueError or FileNotFoundError with file and line if it is none or repeats a key.
    """
    if not Path(path).is_file() or not path:
        what = "is no file" if path and Path(path).exists() else "no such file"
        raise FileNotFoundError(f"--config {path or chr(39) * 2}: {what}; correct the path")
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = read_yaml(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"--config {path}: not UTF-8 ({error}); write it as plain text") from error
    except ValueError as error:
        raise ValueError(f"--config {path}{error}") from error
    if values is None and text.lstrip().startswith("#"):  # as --print_config prints where no key has a default
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"--config {path}: must be a mapping of keys to values; write it as key: value")
    return values


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def merged(values: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key, the later one winning; a word that is a mapping is read as one beside another."""
    result = dict(values)
    for key, value in later.items():
        before = result.get(key)
        if isinstance(before, Word) and isinstance(value, Mapping):
            before = before.mapping
        elif isinstance(before, Mapping) and isinstance(value, Word):
            value = value if value.mapping is None else value.mapping
        elif isinstance(before, Word) and isinstance(value, Word):
            value.earlier = (*before.earlier, before)
        result[key] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result
