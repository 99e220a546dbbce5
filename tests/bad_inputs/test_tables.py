"""Inputs that are wrong: status 2, one line that says what is wrong, nothing under a final name, nothing imported."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from megatron_speech.config.parsing.build import alternatives, entry_of
from megatron_speech.config.parsing.parse import parse_config
from tests.bad_inputs.rows import TABLES, Row, Worlds, rows_of, said
from tests.schemas import TOOLS, schema

ROWS = [row for table in sorted(TABLES.glob("*.yaml")) for row in rows_of(table.stem)]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    from tests.bad_inputs.world import import_what_tools_import, make_world

    import_what_tools_import()
    folder = tmp_path_factory.mktemp("worlds")
    return Worlds(make_world(folder / "whole"), folder)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_refused_with_one_line(row: Row, worlds: Worlds) -> None:
    ended = worlds.run(row)
    assert ended.status == 2, ended.stderr
    *log, line = said(ended.stderr)
    assert line.startswith("error: ") and re.search(row.says, line), line
    assert not any(before.startswith(("error: ", "Traceback")) for before in log), ended.stderr
    assert not ended.left


def test_hundreds_of_rows_and_none_twice() -> None:
    told = [repr((row.tool, row.words, row.config, row.files)) for row in ROWS]
    assert len(set(told)) == len(told) > 1000


@pytest.mark.parametrize("row", ROWS[::100], ids=str)
def test_a_process_of_its_own_ends_alike(row: Row, worlds: Worlds) -> None:
    own, forked = worlds.run(row, alone=True), worlds.run(row)
    assert (own.status, own.left) == (forked.status, forked.left) == (2, [])
    assert said(own.stderr)[-1] == said(forked.stderr)[-1]


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "schema"])  # whose only key takes any text
def test_every_key_is_refused_by_its_name_where_its_value_has_another_type(
    tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = 0
    for key, kind in keys_of(schema(tool)):
        for value in wrong_values(kind):
            with pytest.raises(SystemExit) as left:
                parse_config(schema(tool), description="", args=[f"--{key}={value}"])
            lines += 1
            assert left.value.code == 2
            line = capsys.readouterr().err
            assert line.startswith(f"error: {key}") and line.count("\n") == 1, line
    assert lines


def keys_of(section: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that the command line can name, an entry of a mapping as `own`."""
    for name, kind in typing.get_type_hints(section).items():
        entry, suffix = entry_of(kind) or (None, "")
        if suffix != "[]":
            yield f"{prefix}{name}", kind
        if entry and suffix != "[]":
            yield from keys_of(entry, f"{prefix}{name}{suffix.replace('<name>', 'own')}.")


def wrong_values(kind: Any) -> list[str]:
    """Words that no key of this type takes."""
    kinds = [typing.get_origin(each) or each for each in alternatives(kind)]
    if dict in kinds or entry_of(kind):
        return ["this.txt", "3", "[a]"]
    if int in kinds or float in kinds:
        return ["this", ".nan", ".inf", "true", "[1]", "{a: 1}", "9" * 400]
    if bool in kinds:
        return ["yes", "0", "[true]", ""]
    if typing.Literal in kinds:
        return ["this.txt", "", "[a]"]
    if list in kinds or tuple in kinds:
        return ["[{a: 1}]", "[[a]]"]
    return ["", "s3://bucket/x"] if kinds in ([Path], [Path, NoneType]) else []
