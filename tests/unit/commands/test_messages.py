"""Messages speak of commands by their names, as a user types them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from megatron_speech.commands.table import COMMANDS
from tests.schemas import ROOT

_SCRIPT = re.compile(r"\b(?!__init__)\w+\.py\b|\btools/|\bstage (which|that) (makes?|made|writes?|wrote)\b")
_COMMAND = re.compile(r"\bmegatron-speech ([a-z]\w+)")


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the library that is no docstring, with its place; parts of f-strings included."""
    for path in sorted((ROOT / "megatron_speech").rglob("*.py")):
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_no_message_names_a_script_or_a_nameless_stage() -> None:
    assert not [(place, text) for place, text in texts() if _SCRIPT.search(text)]


def test_every_command_that_a_message_names_exists() -> None:
    named = {(place, name) for place, text in texts() for name in _COMMAND.findall(text)}
    assert len(named) > 20
    assert not {each for each in named if each[1] not in COMMANDS}
