"""Names that the library's page promises: rooms, glossary, a function and a settings class for every tool."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from megatron_speech.commands import printed
from megatron_speech.commands.command import Command
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.run.training import PretrainConfig
from tests.schemas import TOOLS, schema

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "megatron_speech"
PAGE = (LIBRARY / "README.md").read_text()
FILES = (".bin", ".json", ".jsonl", ".yaml")
SHARED_SETTINGS = {
    "fetch_assets": "AssetsConfig",
    "unpack_assets": "AssetsConfig",
    # These add --dry_run to the settings of the run, which its folder keeps.
    "evaluate": "EvaluateCommandConfig",
    "pretrain": "PretrainCommandConfig",
    "train_text_to_token": "TextToTokenCommandConfig",
}


def test_the_page_lists_the_rooms_by_the_layers_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["containers"] == ["megatron_speech"])
    listed: list[set[str]] = [set() for _ in layers]
    for layer, room in re.findall(r"^\| (\d+) \| `([a-z_]+)(?:/|\.py)`", PAGE, re.MULTILINE):
        listed[int(layer) - 1].add(room)
    assert listed == [set(layer.split(" | ")) for layer in layers]


def test_every_place_of_the_page_exists() -> None:
    places = re.findall(r"`([a-z_/]+(?:\.py|/))`", PAGE)
    assert len(places) > 60
    assert [place for place in places if not (LIBRARY / place).exists()] == []


def test_terms_stand_once_in_the_glossary() -> None:
    terms = re.findall(r"^\| ([a-z -]+) \| [A-Z]", PAGE, re.MULTILINE)
    assert len(terms) > 30 and len(set(terms)) == len(terms)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_a_command_calls_the_function_of_its_name(command: Command) -> None:
    assert command.load().__name__ == command.name
    tree = ast.parse(Path(printed.__file__).read_text())
    if own := [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == command.name]:
        called = {ast.unparse(node.func) for node in ast.walk(own[0]) if isinstance(node, ast.Call)}
        assert any(call.endswith(f".{command.name}") for call in called), called


def test_every_script_is_a_command() -> None:
    for path in (ROOT / "tools").glob("*.py"):
        assert f'run_tool("{path.stem}")' in path.read_text() and path.stem in COMMANDS


@pytest.mark.parametrize("tool", TOOLS)
def test_the_settings_of_a_tool_have_its_name(tool: str) -> None:
    own = "".join(word.capitalize() for word in tool.split("_")) + "Config"
    assert schema(tool).__name__ == SHARED_SETTINGS.get(tool, own)


def test_modules_that_docstrings_name_exist() -> None:
    modules = {path.relative_to(LIBRARY).with_suffix("") for path in LIBRARY.rglob("*.py")}
    sources = {".".join(module.parts): (LIBRARY / module).with_suffix(".py").read_text() for module in modules}
    rooms = {module.parts[0] for module in modules if len(module.parts) > 1} - {"config"}  # `config.output` is a value
    sections = get_type_hints(PretrainConfig)
    absent = [
        f"{module}: {name}"
        for module, text in sources.items()
        for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", text)
        if name.split(".")[0] in rooms and not name.endswith(FILES)
        if not any(_stands([*folder, *name.split(".")], sources) for folder in ([], module.split(".")[:-1]))
        and not _is_setting(name.split("."), sections)
    ]
    assert not absent, absent


def _is_setting(parts: list[str], sections: dict[str, Any]) -> bool:
    """Whether a dotted name is a setting of a training run, such as `data.reader`."""
    return parts[0] in sections and parts[1] in get_type_hints(sections[parts[0]])


def _stands(parts: list[str], sources: dict[str, str]) -> bool:
    """Whether a dotted name is a folder, a file, or a name that a file defines."""
    for length in range(len(parts), 0, -1):
        head, rest = ".".join(parts[:length]), parts[length:]
        if head in sources:
            return not rest or bool(re.search(rf"\b{rest[0]}\b", sources[head]))
        if f"{head}.__init__" in sources:
            return not rest
    return False
