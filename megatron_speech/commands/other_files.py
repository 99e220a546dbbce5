"""Recognises a YAML file that was written for another command."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from megatron_speech.commands.command import Command
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.build import Builder
from megatron_speech.config.parsing.given import CONFIG, options, read_settings
from megatron_speech.config.parsing.parse import PRINT


def file_of_another_command(command: Command, words: Sequence[str]) -> ValueError | None:
    """Error that names the commands a given file is for; None if every file fits, or fits none."""
    known = {field.name for field in dataclasses.fields(command.schema)}
    for path in [text for key, text in options([word for word in words if word != PRINT]) if key == CONFIG]:
        values = read_settings(path)
        if not values.keys() <= known and (owners := commands_for(values)):
            file = f"--config {path}: this is a file for {' or '.join(owners)}, not for {command.name}"
            return ValueError(f"{file}; correct the path or the command")
    return None


def commands_for(values: Mapping[str, Any]) -> list[str]:
    """Names of the commands that take all `values`; those alone that then lack the fewest required keys."""
    lacking: dict[str, int] = {}
    for command in filter(lambda command: command.settings, COMMANDS.values()):
        builder = Builder()
        try:
            builder.section(command.schema, values)
        except ValueError:
            continue
        lacking[command.name] = len(builder.missing)
    return [name for name, number in lacking.items() if number == min(lacking.values())]
