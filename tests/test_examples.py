"""Every YAML file under examples/ is read by a tool, and parses with that tool's schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.examples.table import EXAMPLES
from tests.example_files import CALLS, ROOT, YAMLS, file_of, overrides, steps, tools_by_yaml
from tests.schemas import schema


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_parses_with_its_tools_schema(path: Path) -> None:
    tools = tools_by_yaml()
    assert path in tools, f"no step uses {path.name}: delete it or use it"
    tool = tools[path]
    parse_config(schema(tool), description="", args=["--config", str(path), *overrides(tool, path)])


def test_every_step_names_a_tool_and_a_file_that_exist() -> None:
    for path, tool in tools_by_yaml().items():
        assert path.is_file(), f"a step names {path.name}, which does not exist"
        assert (ROOT / "tools" / f"{tool}.py").is_file(), f"a step names tools/{tool}.py, which does not exist"


def test_every_step_parses_with_what_it_changes() -> None:
    for step in steps():
        changed = step.words[step.words.index("--config") + 2 :]
        parse_config(schema(step.tool), description="", args=["--config", str(file_of(step)), *changed])


@pytest.mark.parametrize("example", sorted({path.parent.name for path in YAMLS} - {"precision"}))
def test_no_example_asks_a_cpu_for_a_number_format_that_it_may_be_slow_in(example: str) -> None:
    """`auto` looks at the machine, and float32 is slow on none. The example of precision compares formats by name."""
    chosen = {}
    for step in steps():
        if file_of(step).parent.name == example:
            words = step.words[step.words.index("--config") + 2 :]
            config = parse_config(schema(step.tool), description="", args=["--config", str(file_of(step)), *words])
            chosen |= {f"{step.name}: {key}": dtype for key, dtype in _number_formats(config, step.tool)}
    assert {dtype for key, dtype in chosen.items() if key.endswith("precision.dtype")} <= {"auto"}, chosen
    assert {*chosen.values()} <= {"auto", "float32"}, chosen


def _number_formats(config: object, name: str) -> Iterator[tuple[str, str]]:
    """Every number format that settings choose, with its key."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _number_formats(value, f"{name}.{key}")
    elif dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if field.name == "dtype":
                yield name + ".dtype", value
            else:
                yield from _number_formats(value, f"{name}.{field.name}")


def test_every_tool_has_a_whole_file() -> None:
    """What only looks at the commands or at a folder takes its few words from the command line and is no tool.

    So do `encode` and `decode`, which take one file.
    """
    tools = {path.stem for path in (ROOT / "tools").glob("*.py")} - {"encode", "decode"}
    assert set(tools_by_yaml().values()) == {name for name in tools if COMMANDS[name].settings}


def test_own_data_has_a_file_of_the_name_of_each_tool_of_the_chain() -> None:
    """`--config own_data/<tool>`; a file for another use of the tool has a longer name."""
    for path, tool in tools_by_yaml().items():
        if path.parent.name == "own_data":
            assert path.stem.startswith(tool) and path.with_name(f"{tool}.yaml").is_file(), path


def test_own_data_says_what_every_file_is_for() -> None:
    """Every file begins with its tool and what it makes."""
    for path in (ROOT / "examples" / "own_data").glob("*.yaml"):
        assert path.read_text().startswith(f"# {tools_by_yaml()[path]}: "), path


def test_every_example_has_its_door() -> None:
    doors = {path.parent.name for path in (ROOT / "examples").glob("*/run.sh")}
    assert doors == {words[0] for words in CALLS} == set(EXAMPLES)
    for name in doors:
        assert f'run.sh" {name} "$@"' in (ROOT / "examples" / name / "run.sh").read_text()
