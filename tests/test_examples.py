"""Every YAML file under examples/ is read by a tool, and parses with that tool's schema."""

import re
from pathlib import Path

import pytest

from megatron_speech.config.parsing.parse import parse_config
from tests.schemas import schema

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/run.sh"))
YAMLS = sorted((ROOT / "examples").rglob("*.yaml"))


def tools_by_yaml() -> dict[Path, str]:
    """Which tool reads which file, by every run.sh: `run` or `train NAME TOOL YAML ...`, `train NAME FILE ...`."""
    found: dict[Path, str] = {}
    for folder in FOLDERS:
        for line in expanded((folder / "run.sh").read_text()):
            if match := re.match(r"\s*(?:run|train) \S+ (\w+) (\w+)", line):
                found[folder / f"{match[2]}.yaml"] = match[1]
            elif match := re.match(r"\s*train \S+ (\S+\.yaml)", line):
                found[folder / match[1]] = "pretrain"
            found |= {folder / name: "pretrain" for name in re.findall(r"pretrain_yaml=(\S+\.yaml)", line)}
    return found


def expanded(script: str) -> list[str]:
    """Lines of a shell script, those of a one-level `for NAME in A B; do ... done` repeated with $NAME filled in."""
    lines: list[str] = []
    loop: tuple[str, list[str]] | None = None
    for line in script.replace("\\\n", " ").splitlines():
        line = line.replace('"', "")
        if match := re.match(r"for (\w+) in (.*); do", line):
            loop = (match[1], match[2].split())
        elif line == "done":
            loop = None
        elif loop is None:
            lines.append(line)
        else:
            lines += [line.replace(f"${{{loop[0]}}}", value).replace(f"${loop[0]}", value) for value in loop[1]]
    return lines


def overrides(tool: str, path: Path) -> list[str]:
    """Keys that run.sh adds on the command line for every use of the file and that have no default."""
    needed = {"codes.yaml": ["--audio", "audio/train", "--output", "codes/train"], "assets.yaml": ["--set", "ci"]}
    return needed.get(path.name, [])


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
