"""Reads and writes YAML for settings: plain data, no duplicate keys, and no surprising conversions.

PyYAML reads YAML 1.1, where `no` is false, `010` is 8 and `1e-4` is text. Here they are text, text and a number. PyYAML
silently takes the last value of a duplicate key; here that is an error with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_VALUES = 100_000
"""Largest number of values in a file, counting every use of an alias: a few lines of aliases can expand to billions."""

_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
_INFINITE = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
# Type, pattern of its plain (unquoted) scalars, their first characters.
_PLAIN_SCALARS = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", ("t", "T", "f", "F")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", tuple("-+0123456789")),
    ("float", rf"{_FLOAT}|{_INFINITE}", tuple("-+.0123456789")),
    ("merge", r"<<", ("<",)),
)


class _Loader(yaml.SafeLoader):
    """Loads plain data with the implicit types above; refuses tags such as ``!!int``, which could construct objects."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if tag := getattr(event, "tag", None):
            line = event.start_mark.line + 1
            raise ValueError(f":{line}: holds the tag {tag}; leave it out, quotes make text of a value")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes text that this module, or any YAML 1.1 reader, would parse as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # write a value that occurs twice out twice, without anchor and alias

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # Escape line breaks of all kinds: YAML folds plain and single-quoted text at them.
        style = '"' if re.search("[\n\r\x85\u2028\u2029]", data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
# The loader knows these types only. The dumper knows those of YAML 1.1 too, and quotes text that looks like either.
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in _PLAIN_SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def read_yaml(text: str) -> Any:
    """Parse a YAML text; the message of a ValueError begins with the line number if it is known (":3: ...").

    Refuses tags, duplicate keys and texts of more than MAX_VALUES values.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        count = 0
        for count, (key, first, line) in enumerate(_values(node, ""), start=1):
            if first:
                raise ValueError(f":{line}: key {key} already stands in line {first}; keep one of them")
            if count > MAX_VALUES:
                raise ValueError(f": holds more than {MAX_VALUES:,} values, aliases (*) included; shorten it")
        try:
            return loader.construct_document(node)
        except ValueError as error:  # an integer with thousands of digits
            raise ValueError(f": holds a value that cannot be read ({error}); correct it") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise ValueError(f"{f':{mark.line + 1}' if mark else ''}: not YAML ({problem}); correct it") from error
    except RecursionError:
        raise ValueError(": nested too deeply, or a part refers to itself; write it flat") from None


def write_yaml(value: Any, *, flow: bool = False) -> str:
    """Write plain data as YAML that `read_yaml` and every other reader parse alike; `flow` puts it on one line."""
    width = 1 << 30 if flow else 120
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=flow)
    return text.removesuffix("\n").removesuffix("\n...") if flow else text  # PyYAML ends a single scalar with "..."


def _values(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int, int]]:
    """Yield every value below `node` as (dotted key, line of an earlier duplicate or 0, line)."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield prefix, 0, item.start_mark.line + 1
            yield from _values(item, prefix)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[Any, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = f"{prefix}{key.value}"
            yield name, lines.get(name, 0), line
            lines[name] = line
            yield from _values(value, f"{name}.")
