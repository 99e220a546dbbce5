"""Formats `--help`: the usual keys, an example, then every other key, with docstring, type and default."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docstring_parser import parse_from_object

from megatron_speech.config.parsing.build import default_of, entry_of, rule
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.yaml_text import write_yaml

_OPTIONS = {
    "-h, --help": "Show this help and leave; --SECTION.help for the keys of one section.",
    "--config FILE": "YAML file, or the name of an example (miniature/pretrain); repeat it to let a later file win key "
    "by key.",
    "--print_config": "Print all settings as commented YAML and leave.",
    "--KEY VALUE": "Set a key. Write a list as '[a, b]' or repeat the option. A mapping "
    "'{a: ...}' is merged into the earlier value; null clears it first.",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HelpPage:
    """What the help of a tool says beside its keys."""

    description: str
    leading: str = ""
    """Key that the first word sets."""
    usual: Sequence[str] = ()
    """Keys shown first, as in "corpora.<name>.path"."""
    example: str = ""
    """A command line."""


def help_text(schema: type, page: HelpPage, *, section: str = "") -> str:
    """Help text of a tool, or only of the keys in `section`. Raises ValueError if the section has no keys."""
    parts = [part for part in _parts(schema) if not section or f"{_bare(part.key)}.".startswith(f"{section}.")]
    if not parts:
        raise ValueError(f"--{section}.help: {section} has no keys of its own; use --help")
    shown = () if section else page.usual
    lines = [_usage(schema, "" if section else page.leading, short=bool(section))]
    lines += ["", *_wrapped(page.description, "")]
    if shown:
        keys = {key: (option, text) for part in parts for key, option, text in part.entries()}
        lines += ["", "usual keys:", *_listed(keys[key] for key in shown)]
    if page.example and not section:
        lines += ["", "example:", f"  {page.example}"]
    lines += ["", "options:", *_listed(_OPTIONS.items())]
    for part in parts:
        if rest := [(option, text) for key, option, text in part.entries() if key not in shown]:
            title = f"{part.key}: {part.about.rstrip('.')}:" if part.key else "other keys:" if shown else "settings:"
            lines += ["", *_wrapped(title, ""), *_listed(rest)]
    return "\n".join(lines) + "\n"


def _usage(schema: type, leading: str, *, short: bool) -> str:
    needed = [] if short else [f"--{key} {key.rpartition('.')[2].upper()}" for key in _needed(schema) if key != leading]
    words = [Path(sys.argv[0]).name, *([leading.upper()] if leading else []), "[--config FILE ...]", *needed]
    return f"usage: {' '.join(words)} [--KEY VALUE ...]"


def _listed(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in entries:
        yield f"  {name}"
        yield from _wrapped(text, "        ")


def _wrapped(text: str, indent: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, 120)
    return textwrap.wrap(
        " ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


@functools.cache
def docs(section: type) -> Mapping[str, str]:
    """Docstring of every field of a dataclass, each joined into one line."""
    classes = [each for each in reversed(section.__mro__) if dataclasses.is_dataclass(each)]
    params = (param for each in classes for param in parse_from_object(each).params)
    return {param.arg_name: " ".join((param.description or "").split()) for param in params}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """One section of the help: a dataclass section, or the entries of a mapping or list."""

    key: str
    schema: type
    about: str
    default: Any
    """Instance that supplies the defaults; None for the schema's own defaults."""

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, option, description) for every key that is not itself a section."""
        hints = typing.get_type_hints(self.schema)
        for field in dataclasses.fields(self.schema):
            if hints[field.name] is (entry_of(hints[field.name]) or [None])[0]:
                continue
            standard = default_of(field, self.default)
            wanted = (
                "required"
                if standard is dataclasses.MISSING
                else f"default: {write_yaml(to_dict(standard), flow=True)}"
            )
            about = docs(self.schema).get(field.name, "")
            # A key inside a list of sections is not an option: the list is given as a whole.
            key = f"{self.key}{'.' if self.key else ''}{field.name}"
            option = f"{'' if '[]' in self.key else '--'}{key} {field.name.upper()}"
            yield key, option, f"{about} ({short_rule(hints[field.name])}; {wanted})"


def short_rule(kind: Any) -> str:
    """Describe what a value of type `kind` looks like, without listing a section's keys."""
    return re.sub(r" with the keys .*?(?= or null$|$)", "", rule(kind))


def _parts(schema: type, key: str = "", about: str = "", default: Any = None) -> Iterator[_Part]:
    yield _Part(key=key, schema=schema, about=about, default=default)
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if found := entry_of(hints[field.name]):
            entry, suffix = found
            standard = default_of(field, default)
            below = f"{key}{'.' if key else ''}{field.name}{suffix}"
            text = docs(schema).get(field.name, "")
            yield from _parts(entry, below, text, standard if isinstance(standard, entry) else None)


def _needed(schema: type, prefix: str = "") -> Iterator[str]:
    """Yield required keys; for a required mapping, those of its entries."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if default_of(field) is not dataclasses.MISSING:
            continue
        found = entry_of(hints[field.name])
        if found and found[1] != "[]":
            yield from _needed(found[0], f"{prefix}{field.name}{found[1]}.")
        else:
            yield f"{prefix}{field.name}"


def _bare(key: str) -> str:
    """Remove entry suffixes from `key`, as the user types it in --KEY.help."""
    return re.sub(r"\.<name>|\[\]", "", key)
