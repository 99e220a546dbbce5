"""Prints a script that lets a shell complete commands, their keys, and values that are one of a few."""

from __future__ import annotations

import re
import shlex
import typing
from collections.abc import Iterator
from typing import Any

from megatron_speech.commands.command import Command
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.inspection.commands import CompletionConfig
from megatron_speech.config.parsing.build import alternatives, entry_of
from megatron_speech.config.parsing.config_files import example_names
from megatron_speech.examples.run import options_of
from megatron_speech.examples.table import EXAMPLES as RUNS

# `script` replaces the words in capitals. Where nothing fits, `-o default` completes file names.
_SCRIPT = """\
# eval "$(megatron-speech completion SHELL)"
ZSH_megatron_speech() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} prefix=""
    if [[ $current == "=" ]]; then  # bash splits --key=value at its sign
        current=""
    elif [[ $before == "=" ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $current == --*=* ]]; then  # zsh does not
        before=${current%%=*} prefix=${current%%=*}= current=${current#*=}
    fi
    local verbs=VERBS keys="--config --help --print_config" values="" word
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "$verbs --help" -- "$current"))
        return
    fi
    for word in "${COMP_WORDS[@]:2:$((COMP_CWORD - 2))}"; do
        if [[ $verb == launch && " $verbs " == *" $word "* ]]; then verb=$word; fi
    done
    case $verb in
KEYS
    esac
    case "$verb ${COMP_WORDS[2]-}" in
RUNS
    esac
    case "$verb $before" in
        *" --config") values=EXAMPLES ;;
        "run run") values=NAMES ;;
        "launch "* | "schema schema") values=$verbs ;;
VALUES
    esac
    if [[ $current == -* ]]; then values=$keys; fi
    COMPREPLY=($(compgen -W "$values" -- "$current"))
    COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
}
complete -o default -F _megatron_speech megatron-speech"""


def completion(config: CompletionConfig) -> None:
    """Print the script for a shell."""
    print(script(config.shell))


def script(shell: str) -> str:
    """Completion script for bash, or for zsh by its bash mode."""
    commands = [command for command in COMMANDS.values() if command.settings]
    parts = {
        "SHELL": shell,
        "ZSH": "autoload -Uz bashcompinit && bashcompinit\n" if shell == "zsh" else "",
        "VERBS": shlex.quote(" ".join(COMMANDS)),
        "EXAMPLES": shlex.quote(" ".join(example_names())),
        "KEYS": "\n".join(f'        {command.name}) keys+=" {_options(command)}" ;;' for command in commands),
        "RUNS": "\n".join(f'        "run {name}") keys="--help {" ".join(options_of(name))}" ;;' for name in RUNS),
        "NAMES": shlex.quote(" ".join(RUNS)),
        "VALUES": "\n".join(line for command in commands for line in _choices(command)),
    }
    return re.sub(r"\b[A-Z]+(?=\b|_m)", lambda word: parts.get(word[0], word[0]), _SCRIPT)


def _options(command: Command) -> str:
    return " ".join(f"--{key}" for key, _ in keys(command.schema))


def _choices(command: Command) -> Iterator[str]:
    """Cases for the keys that take one of a few values."""
    for key, kind in keys(command.schema):
        if values := _values(kind):
            words = [f"{command.name} --{key}", *([f"{command.name} {command.name}"] * (key == command.leading))]
            pattern = " | ".join(f'"{word}"' for word in words)
            yield f'        {pattern}) values="{" ".join(values)}" ;;'


def keys(section: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key with its type, except those below a name that the user chooses."""
    for name, kind in typing.get_type_hints(section).items():
        entry, suffix = entry_of(kind) or (None, "")
        if kind is not entry:
            yield f"{prefix}{name}", kind
        if entry and not suffix:
            yield from keys(entry, f"{prefix}{name}.")


def _values(kind: Any) -> list[str]:
    """Values of a type that allows only a few; none for any other type."""
    found: list[str] = []
    for each in alternatives(kind):
        found += typing.get_args(each) if typing.get_origin(each) is typing.Literal else []
        found += ["true", "false"] if each is bool else []
    return found
