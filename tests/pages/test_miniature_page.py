"""The page of the miniature names every step of its list, in order, and the folders that they fill."""

from __future__ import annotations

import re

from megatron_speech.examples.run import parse
from tests.example_files import file_of
from tests.pages.page import ROOT

PAGE = (ROOT / "examples" / "miniature" / "README.md").read_text()
ROWS = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|$", PAGE.partition("## Step by step")[2], re.MULTILINE)


def test_the_table_goes_through_all_steps_in_order() -> None:
    names = [step.name for step in parse(["miniature"])[0].steps]
    place = 0
    for cell, _ in ROWS:
        named = re.findall(r"`([a-z-]+)`", cell)
        first, last = names.index(named[0]), names.index(named[-1])
        assert first == place, f"{cell}: {names[place]} is not named before it"
        place = last + 1
    assert place == len(names)


def test_the_folders_are_those_that_steps_fill() -> None:
    steps = parse(["miniature"])[0].steps
    written = " ".join([*(file_of(step).read_text() for step in steps), *(str(step) for step in steps)])
    folders = [folder for _, cell in ROWS for folder in re.findall(r"`([\w.]+)`", cell)]
    assert len(folders) > 15
    assert [folder for folder in folders if not re.search(rf"\b{re.escape(folder)}\b", written)] == []
