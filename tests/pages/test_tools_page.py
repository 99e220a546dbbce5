"""The page of the commands lists every one of them, by stage, with settings that its help calls usual."""

from __future__ import annotations

import re
from itertools import groupby

from megatron_speech.commands.table import COMMANDS
from tests.pages.page import ROOT

PAGE = (ROOT / "tools" / "README.md").read_text()
ROWS = re.findall(
    r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", PAGE.partition("## All commands")[2], re.MULTILINE
)


def test_every_command_stands_once_in_the_order_of_the_chain() -> None:
    assert [name for name, *_ in ROWS] == list(COMMANDS)


def test_stages_are_those_of_the_help() -> None:
    stages = [stage for stage, _ in groupby(command.stage for command in COMMANDS.values())]
    assert [stage.lower() for stage in re.findall(r"^### (.+)$", PAGE, re.MULTILINE)] == stages


def test_settings_are_usual_ones() -> None:
    for name, _, _, settings in ROWS:
        keys = re.findall(r"`([^`]+)`", settings)
        assert set(keys) <= set(COMMANDS[name].usual), name
        assert keys or not COMMANDS[name].usual, name
