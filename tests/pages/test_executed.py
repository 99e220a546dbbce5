"""Commands of the pages that need no model run as printed, in the folder of a reader who has what they read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from megatron_speech.commands.main import read_command_line
from megatron_speech.commands.table import find
from tests.pages.page import PAGES, ROOT, Page
from tests.pages.reader import make_reader

QUICK = re.compile(
    r"cp slurm/|.*\| megatron-speech read_aloud|megatron-speech "
    r"(--help|pretrain .*(--help|--print_config)|run .* --list|pack_shards --config own_data/pack_shards --"
    r"|(schema|completion|ls|plan_mixture|plan_run|import_speech|inspect_shards|verify_shards|index_shards"
    r"|export_indexed_dataset|train_text_tokenizer|tokenize_text) "
    r"|plan_parameters (?!.*--check)|compare_evaluations (?!.*--leaks))"
)
"""Lines that neither load a model nor wait for a network or a cluster."""
LINES = [(page, line) for page in PAGES for line in dict.fromkeys(page.commands()) if QUICK.match(line)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reader(tmp_path_factory.mktemp("pages") / "reader")


def outputs(line: str) -> list[Path]:
    """Files and folders that a line says it writes."""
    words = line.split()
    if words[0] == "cp" or " > " in line:
        return [Path(words[-1])]
    if " --config own_data/" in line and "--print_config" not in line:
        return [read_command_line(find(words[1]), words[2:]).output]
    named = re.search(r"--output (\S+)", line)
    return [Path(named[1])] if named else []


def test_a_fifth_of_all_lines_is_quick() -> None:
    every = [line for page in PAGES for line in dict.fromkeys(page.commands())]
    assert 5 * len(LINES) > len(every)


@pytest.mark.parametrize(("page", "line"), LINES, ids=str)
def test_a_command_does_what_its_page_says(page: Page, line: str, whole: Path, tmp_path: Path) -> None:
    """It ends well; what it writes is there afterwards, and was not before; else it says something."""
    reader = Path(shutil.copytree(whole, tmp_path / "reader", symlinks=True))
    made = [reader / path for path in outputs(line)]
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    names = {"PATH": f"{reader}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=reader,
        env={**os.environ, **names},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert all(path.is_dir() or path.stat().st_size for path in made), made
    assert made or done.stdout + done.stderr, "it said nothing"
