"""Runs a command: parses its settings, sets logging up, imports what it needs and calls its function."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import textwrap
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import groupby, takewhile
from typing import Any

from megatron_speech import __version__
from megatron_speech.commands.command import PROGRAM, Command
from megatron_speech.commands.known_warnings import silence_known_warnings
from megatron_speech.commands.other_files import file_of_another_command
from megatron_speech.commands.table import COMMANDS, find
from megatron_speech.config.parsing.inputs import named_inputs
from megatron_speech.config.parsing.leaving import interruption_is_one_line
from megatron_speech.config.parsing.parse import read_config, user_errors
from megatron_speech.progress import Progress, loading, logs_beside_bars

STDOUT = 1
_HELP = ("-h", "--help")
_HEAD = """usage: megatron-speech COMMAND [--config FILE ...] [--KEY VALUE ...]

Speech-text pre-training with synthetic interleaved data: the commands, in the order of the chain.
"""
_TAIL = """
megatron-speech COMMAND --help shows a command's keys, the usual ones first, and an example.
"""


def main() -> None:
    """Run the command that the first word names; without a word, show the map of the chain; --version prints a line."""
    interruption_is_one_line()
    _, *words = sys.argv
    with border():
        if not words or words[0] in _HELP:
            print("\n".join(chain()))
            return
        if words[0] == "--version":
            print(f"{PROGRAM} {__version__}")
            return
        command = find(words[0])
    sys.argv = [f"{PROGRAM} {command.name}", *words[1:]]  # as help and manifests name it
    run(command, words[1:])


def run_tool(verb: str) -> None:
    """Run one command, in a script that is named after it."""
    interruption_is_one_line()
    run(find(verb), sys.argv[1:])


def run(command: Command, words: Sequence[str]) -> None:
    """Run a command; leaves with status 2 and one line on a user's mistake."""
    if not command.settings:
        run_with_words(command, words)
        return
    with border():
        config = read_command_line(command, words)
        require_inputs(command, config)
    silence_known_warnings()
    with loading(command.name) if command.logs else nullcontext():
        function = command.load()
    if command.logs:
        rank_zero = os.environ.get("RANK", "0") == "0"
        logging.basicConfig(level=logging.INFO if rank_zero else logging.WARNING, format="%(message)s")
    with border(), logs_beside_bars(), bars_end_first():
        with Progress(command.name, late=True) if command.heartbeat else nullcontext():
            function(config)


@contextmanager
def border() -> Iterator[None]:
    """Tell a user's mistake in one line, and end without one when nobody reads standard output any more."""
    with user_errors(), quiet_when_nobody_reads():
        yield


@contextmanager
def bars_end_first() -> Iterator[None]:
    """End all progress before an error is told: a traceback keeps generators alive that would go on showing theirs."""
    try:
        yield
    except BaseException as error:
        told: BaseException | None = error
        while told is not None:
            traceback.clear_frames(told.__traceback__)
            told = told.__context__
        raise


@contextmanager
def quiet_when_nobody_reads() -> Iterator[None]:
    """End without a line, but not with status 0, when the reader of standard output has gone: `... | head`."""
    try:
        try:
            yield
        except SystemExit:  # help and --print_config leave by it
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        watched = select.poll()
        watched.register(STDOUT, 0)
        if not watched.poll(0):
            raise  # it is another pipe that broke
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # Python writes what is left as it ends
        raise SystemExit(128 + signal.SIGPIPE) from None


def run_with_words(command: Command, words: Sequence[str]) -> None:
    """Run a command that has no settings of its own."""
    if words and words[0] in _HELP:
        with border():
            print(_help_of_words(command))
        return
    function = command.load()
    with border():
        function(words)


def _help_of_words(command: Command) -> str:
    """Help of a command that has no settings of its own."""
    page = command.page
    example = f"\n\nexample:\n  {page.example}" if page.example else ""
    usage = " ".join(word for word in (PROGRAM, command.name, command.words) if word)
    return f"usage: {usage}\n\n{textwrap.fill(page.description, 118)}{example}"


def read_command_line(command: Command, words: Sequence[str]) -> Any:
    """Settings of a command. Raises ValueError for a mistake, and says so if a file belongs to another command."""
    from megatron_speech.checkpoint.base_shape import with_shape_of_base  # here, for they load settings
    from megatron_speech.checkpoint.run_settings import with_settings_of_run

    def complete(schema: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return with_shape_of_base(schema, with_settings_of_run(schema, values))

    words = _as_options(command, words)
    try:
        return read_config(command.schema, command.page, words, complete=complete)
    except ValueError as error:
        raise file_of_another_command(command, words) or error from error


def require_inputs(command: Command, config: Any) -> None:
    """Check what the settings name to be read, where the command reads it; ValueError or FileNotFoundError if not."""
    from megatron_speech.artifacts.inputs import require_input  # here, for a page of help needs none of it

    faults: dict[str, ValueError | OSError] = {}
    for key, value, takes in named_inputs(config) if command.reads else ():
        try:
            require_input(key, value, takes)
        except (ValueError, FileNotFoundError) as error:
            faults.setdefault(f"{key}={value}", error)
    if faults:
        (_, first), *others = faults.items()
        more = f"; nor can these be read: {', '.join(key for key, _ in others)}" if others else ""
        raise type(first)(f"{first}{more}")


def _as_options(command: Command, words: Sequence[str]) -> list[str]:
    """Write the leading words as `--KEY=WORD`, and a flag without a value as `--FLAG=true`."""
    bare = list(takewhile(lambda word: word and not word.startswith("-"), words))
    if command.leading:
        taken = bare if command.leads_all else bare[:1]
        words = [*(f"--{command.leading}={word}" for word in taken), *words[len(taken) :]]
    flags = {f"--{flag}" for flag in command.flags}
    following = [*words[1:], "--"] if words else []
    return [
        f"{word}=true" if word in flags and after.startswith("--") else word
        for word, after in zip(words, following, strict=True)
    ]


def chain() -> Iterator[str]:
    """Lines of the map: stages in order, one line per command."""
    width = max(map(len, COMMANDS))
    yield _HEAD
    for stage, commands in groupby(COMMANDS.values(), key=lambda command: command.stage):
        yield f"{stage}:"
        for command in commands:
            first, *more = textwrap.wrap(command.summary, 118 - width)
            yield f"  {command.name:<{width}}  {first}"
            yield from (f"  {'':<{width}}  {line}" for line in more)
    yield _TAIL
