"""The one table of commands, in the order of the chain."""

from __future__ import annotations

import difflib

from megatron_speech.commands.command import Command
from megatron_speech.commands.examples import EXAMPLES
from megatron_speech.commands.looking import LOOKING, REPORTS
from megatron_speech.commands.speech import ASSETS, DECODER, SPEECH_TOKENIZER
from megatron_speech.commands.text import DATA, INTERLEAVE, TEXT_TO_TOKEN
from megatron_speech.commands.training import CONVERSION, EVALUATION, PRETRAINING

COMMANDS = {
    command.name: command
    for commands in (
        EXAMPLES,
        ASSETS,
        SPEECH_TOKENIZER,
        TEXT_TO_TOKEN,
        INTERLEAVE,
        DATA,
        PRETRAINING,
        CONVERSION,
        EVALUATION,
        DECODER,
        REPORTS,
        LOOKING,
    )
    for command in commands
}


def find(verb: str) -> Command:
    """Command called `verb`, whose words a hyphen may join, too. ValueError names the nearest."""
    name = verb.replace("-", "_")
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "megatron-speech --help lists them"
        raise ValueError(f"{verb}: no such command; {hint}")
    return COMMANDS[name]
