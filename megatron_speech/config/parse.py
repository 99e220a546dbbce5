"""Turn YAML files and dotted overrides into one frozen dataclass: the only file that imports jsonargparse.

    config = parse_config(PretrainConfig, description="Train a model on packed shards.")

The command line then accepts ``--config run.yaml`` (several: later files win key by key), ``--optimizer.lr 1e-4``,
``--print_config`` and ``--help``. A dataclass states its own rules by raising `ValueError` in ``__post_init__``; every
user error leaves as one line on stderr and exit status 2.
"""

from __future__ import annotations

import dataclasses
import errno
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader, set_parsing_settings

from megatron_speech.config.given import given_settings
from megatron_speech.config.leaving import AGAIN, INTERRUPTED, MISTAKE, interruption_is_one_line, leave
from megatron_speech.config.mistakes import first_mistake

Schema = TypeVar("Schema")

_MISTAKES = (ValueError, FloatingPointError, FileNotFoundError, FileExistsError, NotADirectoryError, ConnectionError)
_SPACE = "free some, or choose another place"
_RIGHTS = "change the permissions, or choose another place"
# Never the program's mistake, even where a write into an open file tells no name.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What the machine says of a place, not of the program.
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "choose another place",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOTDIR: "a part of this path is a file, correct the path",
    errno.EISDIR: "a file belongs there, correct the path",
}

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def parse_config(schema: type[Schema], *, description: str, args: Sequence[str] | None = None) -> Schema:
    """Parse the command line (or `args`) into an instance of `schema`; leave with status 2 on a user's mistake."""
    # allow_abbrev off: "--trai.tokens" must be an error, not a guess.
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file; repeat it to let a later file override.")
    parser.add_class_arguments(schema, as_group=False)
    if args is None:
        interruption_is_one_line()
        args = sys.argv[1:]
    load = get_loader("yaml")
    with user_errors():
        if any(word in ("-h", "--help") or re.fullmatch(r"--[\w.]+\.help", word) for word in args):
            parser.parse_args(args)  # prints and leaves
        given = given_settings(args, load)
        printing = any(word.startswith("--print_config") for word in args)  # what may still lack keys
        if not printing and (mistake := first_mistake(schema, given, load)):
            raise ValueError(mistake)
        try:
            namespace = parser.parse_args(args)
            values = parser.instantiate(namespace)
            return schema(**{field.name: values[field.name] for field in dataclasses.fields(schema)})  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(_rule_alone(str(error))) from error
        except ArgumentError as error:
            raise ValueError(f"{str(error).removeprefix('error: ')}; see --help for the rule") from error


@contextmanager
def user_errors() -> Iterator[None]:
    """Show a `ValueError`, a missing file or a place that cannot be written as one line and exit status 2.

    Ctrl-C is one line and status 130. Programmer errors keep their traceback.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise leave(AGAIN, INTERRUPTED) from error
    except (ValueError, FloatingPointError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.errno in _REMEDIES and (error.filename or error.errno in _FULL):
            text = f"{error.filename or 'a file'}: {error.strerror}; {_REMEDIES[error.errno]}"
        elif not isinstance(error, _MISTAKES):
            raise
        raise leave(f"error: {text}", MISTAKE) from error


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


def _rule_alone(text: str) -> str:
    """A schema's own rule, also out of jsonargparse's list of what it tried for an optional section."""
    tried = re.search(r"Union subtypes.*?Errors:\s*- (.*?)\s*- Expected a <class 'NoneType'>", text, re.DOTALL)
    return tried[1] if tried else text
