"""Merges YAML files and dotted overrides, in the order given, into one nested mapping of plain data.

This module knows no schema: `build` turns the mapping into a dataclass and reports bad keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from megatron_speech.config.parsing.config_files import config_file
from megatron_speech.config.parsing.yaml_text import read_yaml

CONFIG = "config"
"""Option that names a file."""


class Word(str):
    """A command-line value: kept as text where the schema wants text, parsed as YAML otherwise."""

    earlier: tuple[Word, ...] = ()
    """Earlier values of the same option: repeated list options append, repeated mapping options merge."""

    @property
    def value(self) -> Any:
        """The word parsed as YAML; an empty word, or one that is not valid YAML, stays text."""
        try:
            value = read_yaml(self)
        except ValueError:
            return str(self)
        return str(self) if value is None and self.strip().lower() not in ("null", "~") else value

    @property
    def items(self) -> list[Any]:
        """All words of a repeated option; a bracketed list replaces the words before it."""
        items: list[Any] = []
        for word in (*self.earlier, self):
            value = word.value
            items = value if isinstance(value, list) else [*items, word]
        return items

    @property
    def mapping(self) -> Mapping[str, Any] | None:
        """This word's mapping merged over the earlier words' mappings, or None if this word is not a mapping."""
        value = self.value
        if not isinstance(value, Mapping):
            return None
        before = self.earlier[-1].mapping if self.earlier else None
        return merged(before, value) if before is not None else value


def given_settings(args: Sequence[str]) -> dict[str, Any]:
    """Merge files and overrides in the order of `args`; later values win key by key.

    Raises ValueError or FileNotFoundError for a bad argument.
    """
    values: dict[str, Any] = {}
    for key, word in options(args):
        values = merged(values, read_settings(word) if key == CONFIG else _nested(key.split("."), word))
    return values


def options(args: Sequence[str]) -> Iterator[tuple[str, Word]]:
    """Yield key and value of every option in `args`. Raises ValueError for a word that is no option."""
    words = list(args)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            raise ValueError(f"{word}: no option; write --key value, and a list of several as '[a, b]'")
        key, separator, text = word.removeprefix("--").partition("=")
        if not separator:
            text = words.pop(0) if words else "--"
            if text.startswith("--"):
                raise ValueError(f"--{key}: expected one argument; write --{key} VALUE, or --{key}=VALUE")
        yield key, Word(text)


def read_settings(path: str) -> dict[str, Any]:
    """Read the mapping in a YAML file or an example; a file of comments alone gives an empty mapping.

    Raises FileNotFoundError if there is no such file. Raises ValueError, naming file and line, if the text is not a
    mapping or repeats a key.
    """
    file = config_file(path)
    try:
        text = file.read_text(encoding="utf-8")
        values = read_yaml(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"--config {path}: not UTF-8 ({error}); write it as plain text") from error
    except ValueError as error:
        raise ValueError(f"--config {path}{error}") from error
    if values is None and text.lstrip().startswith("#"):  # --print_config prints this if no key has a default
        return {}
    if values is None:
        raise ValueError(f"--config {path}: holds no key; write each as key: value")
    if not isinstance(values, dict):
        raise ValueError(f"--config {path}: must be a mapping of keys to values; write it as key: value")
    return values


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def merged(values: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings key by key; `later` wins. Words that hold mappings are parsed when merged with a mapping."""
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
