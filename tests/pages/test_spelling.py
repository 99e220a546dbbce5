"""Commands are written in one way, `megatron-speech NAME`, on pages, in settings files and in messages."""

from __future__ import annotations

import re

import pytest

from tests.example_files import YAMLS, tools_by_yaml
from tests.pages.page import PAGES, ROOT, Page

SCRIPT = re.compile(r"\btools/[a-z_]+\.py\b")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pages_start_no_script_of_tools(page: Page) -> None:
    """Job scripts take one as a word; the pages' own code says elsewhere that both are the same."""
    lines = [line for block in page.blocks for line in block.lines if not line.startswith("sbatch slurm/stage.sbatch ")]
    assert [line for line in lines if SCRIPT.search(line)] == []
    assert SCRIPT.findall(page.prose) == []


def test_settings_files_begin_with_their_command() -> None:
    tools = tools_by_yaml()
    assert len(YAMLS) > 80
    assert [path for path in YAMLS if not re.match(rf"# (\w+ and )?{tools[path]}\b", path.read_text())] == []
    assert [path for path in YAMLS if SCRIPT.search(path.read_text())] == []


def test_messages_name_commands() -> None:
    sources = [*(ROOT / "megatron_speech").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    assert [path for path in sources if SCRIPT.search(path.read_text())] == []
