"""Parses YAML files and dotted overrides into one frozen dataclass.

    config = parse_config(PretrainConfig, description="Train a model on packed shards.")

The command line accepts ``--config run.yaml`` (repeatable; later files win key by key), ``--optimizer.lr 1e-4``,
``--data.sources.books.weight 2``, ``--print_config`` and ``--help``. `given` merges all of it into one mapping, and
`build` turns that into the dataclass or reports what does not fit. A dataclass checks its own rules in
``__post_init__`` and raises `ValueError`. Every user error ends as one line on stderr and exit status 2.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from megatron_speech.config.parsing.build import Builder, require_given
from megatron_speech.config.parsing.given import given_settings
from megatron_speech.config.parsing.help import HelpPage, help_text
from megatron_speech.config.parsing.leaving import (
    AGAIN,
    INTERRUPTED,
    MISTAKE,
    interruption_is_one_line,
    leave,
    unwinding,
)
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.printed import printed_config
from megatron_speech.config.parsing.yaml_text import write_yaml

Schema = TypeVar("Schema")

_MISTAKES = (
    ValueError,
    MemoryError,
    FloatingPointError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    ConnectionError,
)
_SPACE = "free some, or choose another place"
_RIGHTS = "change the permissions, or choose another place"
# Always the user's to solve, even if the error names no file (a write to an open file).
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Remedies for errors of the file system, which are not bugs of the program.
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "choose another place",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOENT: "correct the path",
    errno.EEXIST: "it is in the way, correct the path",
    errno.ENAMETOOLONG: "shorten the path",
    errno.ELOOP: "a link leads back to itself, correct the path",
    errno.ENOTDIR: "a part of this path is a file, correct the path",
    errno.EISDIR: "a file belongs there, correct the path",
}

Complete = Callable[[type, Mapping[str, Any]], Mapping[str, Any]]
PRINT = "--print_config"
_SECTION_HELP = r"--([\w.]+)\.help"


def parse_config(schema: type[Schema], *, description: str, args: Sequence[str] | None = None) -> Schema:
    """Parse the command line (or `args`) into an instance of `schema`; exits with status 2 on a user's mistake."""
    if args is None:
        interruption_is_one_line()
        args = sys.argv[1:]
    with user_errors():
        return read_config(schema, HelpPage(description=description), args)


def read_config(
    schema: type[Schema], page: HelpPage, args: Sequence[str], *, complete: Complete | None = None
) -> Schema:
    """Parse `args` into an instance of `schema`; help and --print_config are printed, and end the process.

    `complete` may add keys that other files tell: it takes the schema and the given settings. Raises ValueError or
    FileNotFoundError for a user's mistake.
    """
    if any(word in ("-h", "--help") or re.fullmatch(_SECTION_HELP, word) for word in args):
        section = next((found[1] for word in args if (found := re.fullmatch(_SECTION_HELP, word))), "")
        print(help_text(schema, page, section=section), end="")
        raise SystemExit(0)
    builder = Builder()
    values: Mapping[str, Any] = given_settings([word for word in args if word != PRINT])
    config = builder.section(schema, complete(schema, values) if complete else values)
    if PRINT in args:
        print(printed_config(schema, to_dict(config), description=page.description), end="")
        raise SystemExit(0)
    require_given(builder.missing)
    return cast(Schema, config)


@contextmanager
def user_errors() -> Iterator[None]:
    """Report a `ValueError`, a missing file or an unwritable path as one line and exit status 2.

    Ctrl-C gives one line and status 130. Errors of the program keep their traceback.
    """
    try:
        with unwinding():
            yield
    except KeyboardInterrupt as error:
        raise leave(AGAIN, INTERRUPTED) from error
    except (ValueError, MemoryError, FloatingPointError, OSError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.errno in _REMEDIES and (error.filename or error.errno in _FULL):
            text = f"{error.filename or 'a file'}: {error.strerror}; {_REMEDIES[error.errno]}"
        elif not isinstance(error, _MISTAKES):
            raise
        raise leave(f"error: {text}", MISTAKE) from error


def dump_yaml(config: Any, path: Path) -> None:
    """Write the resolved configuration to `path`; ``--config path`` then repeats the run."""
    path.write_text(write_yaml(to_dict(config)))
