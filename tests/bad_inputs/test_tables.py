"""Inputs that are wrong: status 2, one line that says what is wrong, nothing under a final name, nothing imported."""

from __future__ import annotations

import re

import pytest

from tests.bad_inputs.rows import TABLES, Row, Worlds, rows_of

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


def said(stderr: str) -> list[str]:
    """The lines of stderr, without progress bars; some tools log there."""
    pieces = re.split(r"[\r\n]+", stderr)
    return [piece for piece in pieces if piece.strip() and not re.search(r"%\||\dB \[|it/s", piece)]
