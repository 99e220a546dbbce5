"""Formats on the pages of the rooms have the members, files and reasons that the code writes."""

from __future__ import annotations

import re
from typing import get_args

from megatron_speech.audio.sources.folder_table import FOLDERS
from megatron_speech.audio.sources.layouts import LAYOUTS
from megatron_speech.checkpoint.families.table import FAMILIES
from megatron_speech.data.shards.contents import MEMBERS
from megatron_speech.evaluation.tasks.cloze import TASKS as CLOZE
from megatron_speech.miniature.geography import Group
from megatron_speech.training import run_folder
from tests.pages.page import ROOT


def page(room: str) -> str:
    return (ROOT / "megatron_speech" / room / "README.md").read_text()


def test_members_of_blocks() -> None:
    told = set(re.findall(r"`(\w+\.(?:i32|i64|u64|jsonl))`", page("data").partition("## Packing")[0]))
    assert told == {member for members in MEMBERS.values() for member in members}


def test_files_of_a_run_folder() -> None:
    assert run_folder.__doc__
    written = re.search(r"\n\n    (.+?)\n\n", run_folder.__doc__, re.DOTALL)
    assert written
    assert [name for name in written[1].split() if f"`{name}`" not in page("training")] == []


def test_layouts_of_recordings() -> None:
    table = page("audio").partition("## Columns")[0]
    named = {name for cell in re.findall(r"^\| ([a-z_, ]+) \|", table, re.MULTILINE) for name in cell.split(", ")}
    assert named - {"layout", "reason"} == {*LAYOUTS, *FOLDERS, "lhotse"}


def test_model_families() -> None:
    names = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "glm": "GLM-4"}
    assert set(FAMILIES) == set(names)
    assert all(name in page("checkpoint") for name in names.values())


def test_parts_of_evaluation_items() -> None:
    assert all(f"`{part}`" in page("evaluation") for part in (*CLOZE.values(), *get_args(Group), "ending"))
