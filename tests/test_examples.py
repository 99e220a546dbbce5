"""Every YAML file under examples/ is read by a tool, and parses with that tool's schema."""

from pathlib import Path

import pytest

from examples.table import EXAMPLES
from megatron_speech.config.parsing.parse import parse_config
from tests.example_files import CALLS, ROOT, YAMLS, overrides, steps, tools_by_yaml
from tests.schemas import schema


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_parses_with_its_tools_schema(path: Path) -> None:
    tools = tools_by_yaml()
    assert path in tools, f"no steps.py uses {path.name}: delete it or use it"
    tool = tools[path]
    parse_config(schema(tool), description="", args=["--config", str(path), *overrides(tool, path)])


def test_every_step_names_a_tool_and_a_file_that_exist() -> None:
    for path, tool in tools_by_yaml().items():
        assert path.is_file(), f"a step names {path.name}, which does not exist"
        assert (ROOT / "tools" / f"{tool}.py").is_file(), f"a step names tools/{tool}.py, which does not exist"


def test_every_step_parses_with_what_it_changes() -> None:
    for step in steps():
        changed = step.words[step.words.index("--config") + 2 :]
        parse_config(schema(step.tool), description="", args=["--config", str(ROOT / step.settings), *changed])


def test_every_example_has_its_door() -> None:
    doors = {path.parent.name for path in (ROOT / "examples").glob("*/run.sh")}
    assert doors == {words[0] for words in CALLS} == set(EXAMPLES)
    for name in doors:
        assert f'run.sh" {name} "$@"' in (ROOT / "examples" / name / "run.sh").read_text()
