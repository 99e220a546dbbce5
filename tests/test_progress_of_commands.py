"""No command is silent on a slow input: a first line before its work, then counts, or how long it has taken."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest

from tests.bad_inputs.rows import be_tool
from tests.slow_inputs import SLOW, Slow, counts_in

SECONDS = 2.0
"""Seconds to the first line, on a machine that shows a command's help in no time."""
SLACK = 10
"""What a loaded machine takes longer for that line, in times of the same command's help."""
MOST_SECONDS = 120


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.bad_inputs.world import import_what_tools_import, make_world

    import_what_tools_import()
    return make_world(tmp_path_factory.mktemp("world") / "whole")


def in_fork(command: str, words: list[str], folder: Path, slow: Slow | None = None, patience: float = 0.0) -> str:
    """Standard error of a command in a process of its own, which has imported already what takes seconds."""
    said = folder.with_name(f"{command}.err")
    said.touch()
    child = os.fork()
    if not child:
        try:
            signal.alarm(MOST_SECONDS)
            os.chdir(folder)
            logging.root.handlers.clear()  # pytest's, before which a command would set up none
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - what preparing prints is no line
            if slow:
                words = slow.arrange(command, said, patience)
            be_tool(command, words, folder, os.open(said, os.O_WRONLY | os.O_APPEND))
        except BaseException:
            said.write_text(traceback.format_exc())
        finally:
            os._exit(99)
    os.waitpid(child, 0)
    return said.read_text()


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_command_says_what_it_does_and_how_far_it_is(name: str, world: Path, tmp_path: Path) -> None:
    folder, slow = Path(shutil.copytree(world, tmp_path / "world", symlinks=True)), SLOW[name]
    begun = time.monotonic()
    in_fork(name, ["--help"], folder)
    patience = SECONDS + SLACK * (time.monotonic() - begun)
    said = in_fork(name, [], folder, slow, patience)
    counts = counts_in(said, slow.says)
    assert counts, said
    if slow.items:
        assert any(re.search(r"about \d+ \w+ left", line) for line in counts), said
    assert re.search(slow.steps, said), said
