"""The page of the commands lists every one of them, by stage, with settings that its help calls usual."""

from __future__ import annotations

import re
from itertools import groupby

from megatron_speech.commands.table import COMMANDS
from megatron_speech.platform.doctor import PARTS
from tests.pages.page import ROOT

PAGE = (ROOT / "tools" / "README.md").read_text()
ROWS = re.findall(
    r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", PAGE.partition("## All commands")[2], re.MULTILINE
)


def test_every_command_stands_once_in_the_order_of_the_chain() -> None:
    assert [name for name, *_ in ROWS] == list(COMMANDS)


def test_commands_without_a_file_of_their_own_are_named() -> None:
    said = PAGE.partition("`python tools/NAME.py` is the same, but for ")[2].partition(", which have no such file")[0]
    assert set(re.findall(r"`(\w+)`", said)) == set(COMMANDS) - {path.stem for path in (ROOT / "tools").glob("*.py")}


def test_the_remedy_for_cuda_is_that_of_the_doctor() -> None:
    (part,) = (part for part in PARTS if part.name == "Transformer Engine")
    assert part.cost.partition(": ")[2] in PAGE.splitlines()


def test_stages_are_those_of_the_help() -> None:
    stages = [stage for stage, _ in groupby(command.stage for command in COMMANDS.values())]
    assert [stage.lower() for stage in re.findall(r"^### (.+)$", PAGE, re.MULTILINE)] == stages


def test_settings_are_usual_ones() -> None:
    for name, _, _, settings in ROWS:
        keys = re.findall(r"`([^`]+)`", settings)
        assert set(keys) <= set(COMMANDS[name].usual), name
        assert keys or not COMMANDS[name].usual, name
