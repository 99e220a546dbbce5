"""Every YAML file under examples/ is read by a tool, and parses with that tool's schema."""

import pytest

from megatron_speech.config.parsing.parse import parse_config
from tests.example_files import ROOT, YAMLS, overrides, tools_by_yaml
from tests.schemas import schema


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_parses_with_its_tools_schema(path):
    tools = tools_by_yaml()
    assert path in tools, f"no run.sh uses {path.name}: delete it or use it"
    tool = tools[path]
    parse_config(schema(tool), description="", args=["--config", str(path), *overrides(tool, path)])


def test_every_step_names_a_tool_and_a_file_that_exist():
    for path, tool in tools_by_yaml().items():
        assert path.is_file(), f"run.sh names {path.name}, which does not exist"
        assert (ROOT / "tools" / f"{tool}.py").is_file(), f"run.sh names tools/{tool}.py, which does not exist"
