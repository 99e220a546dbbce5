"""Turn YAML files and dotted overrides into one frozen dataclass: the only file that imports jsonargparse.

    config = parse_config(PretrainConfig, description="Train a model on packed shards.")

The command line then accepts ``--config run.yaml`` (several: later files win key by key), ``--optimizer.lr 1e-4``,
``--print_config`` and ``--help``. A dataclass states its own rules by raising `ValueError` in ``__post_init__``; every
user error leaves as one line on stderr and exit status 2.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

Schema = TypeVar("Schema")

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def parse_config(schema: type[Schema], *, description: str, args: Sequence[str] | None = None) -> Schema:
    """Parse the command line (or `args`) into an instance of `schema`; leave with status 2 on a user's mistake."""
    # allow_abbrev off: "--trai.tokens" must be an error, not a guess.
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file; repeat it to let a later file override.")
    parser.add_class_arguments(schema, as_group=False)
    with user_errors():
        try:
            namespace = parser.parse_args(args)
            values = parser.instantiate(namespace)
        except ArgumentError as error:
            raise ValueError(_one_line(error, schema)) from error
        except UnicodeDecodeError as error:
            raise ValueError(f"--config: a file is not UTF-8 ({error}); write it as plain text") from error
        return schema(**{field.name: values[field.name] for field in dataclasses.fields(schema)})  # type: ignore[arg-type]


@contextmanager
def user_errors() -> Iterator[None]:
    """Show a `ValueError` or a missing file as one line and exit status 2; programmer errors keep their traceback."""
    try:
        yield
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error


def to_dict(config: Any) -> Any:
    """A configuration as plain YAML types (paths become strings, tuples lists), for files and fingerprints."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_dict(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Namespace):
        return to_dict(vars(config))
    if isinstance(config, Mapping):
        return {str(key): to_dict(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [to_dict(value) for value in config]
    if isinstance(config, Path):
        return str(config)
    return config


def dump_yaml(config: Any, path: Path) -> None:
    """Write the resolved configuration so that ``--config path`` repeats the run."""
    path.write_text(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True))


def _one_line(error: ArgumentError, schema: type) -> str:
    """jsonargparse's message on one line, with the nearest known key when a key is unknown."""
    text = " ".join(str(error).split()).removeprefix("error: ")
    forms = (r"does not accept option '([^']+)'", r"unrecognized arguments: --([^ =]+)", r"Option '([^']+)' is not acc")
    unknown = re.search("|".join(forms), text)
    if unknown is None:
        return f"{text}; see --help for the rule"
    key = (unknown[1] or unknown[2] or unknown[3]).split(".")[-1]
    near = difflib.get_close_matches(key, _field_names(schema), n=1)
    return f"{text}; " + (f"did you mean {near[0]!r}?" if near else "see --help for the keys")


def _field_names(schema: Any) -> set[str]:
    """Names of all fields of a dataclass and of the dataclasses inside its field types."""
    names: set[str] = set()
    waiting = [schema]
    while waiting:
        kind = waiting.pop()
        waiting.extend(typing.get_args(kind))
        if dataclasses.is_dataclass(kind):
            names.update(field.name for field in dataclasses.fields(kind))
            waiting.extend(typing.get_type_hints(kind).values())
    return names
