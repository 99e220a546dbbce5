"""Items with a defect, and failed answers: `evaluate` counts them as wrong with the reason, and drops none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bad_inputs.evaluated import LONG, SETS, SHORT, make_sets
from tests.bad_inputs.rows import Ended, Row, run_row, said

ROWS = yaml.safe_load(Path(__file__).with_name("counted.yaml").read_text())
ITEMS = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.bad_inputs.world import import_what_tools_import

    import_what_tools_import()
    return make_sets(tmp_path_factory.mktemp("evaluated") / "whole")


def run(row: dict[str, Any], whole: Path, folder: Path) -> Ended:
    """How the evaluation ends that a row describes."""
    shutil.copytree(whole, folder)
    name = row["set"]
    task, layout = SETS[name]
    sets = {name: {"layout": layout, "folder": "recordings" if name == "texts" else name}}
    settings = {"sets": sets, **SHORT.get(task, {}), **row.get("settings", {})}
    if name != "written":
        settings["speech_tokenizer"] = "speech_tokenizer"
    if "before" in settings:
        settings["before"] = LONG
    words = ["--model", row.get("model", "model"), "--output", "out", "--tasks", json.dumps({task: settings})]
    return run_row(Row(tool="evaluate", words=words, says="", files=row.get("files", {})), folder)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_counted_as_wrong_with_its_reason(row: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    ended = run(row, whole, folder)
    assert ended.status == 0, ended.stderr
    records = [json.loads(line) for line in (folder / "out" / "items.jsonl").read_text().splitlines()]
    results = json.loads((folder / "out" / "evaluation.json").read_text())[SETS[row["set"]][0]]
    pairs = {record["pair"] for record in records}
    assert pairs and len(records) == ITEMS * len(pairs) and results[row["set"]]["items"] == ITEMS
    for record in records:
        reason = row["wrong"].get(record["item"]) if row.get("in", "") in record["pair"] else None
        assert record.get("reason") == reason
        if reason:
            assert record.get("credit", 0) == 0 and record.get("word_edits") == record.get("words")


@pytest.mark.parametrize("name", ["pairs", "written"])
def test_a_model_that_computes_no_numbers_is_refused(name: str, whole: Path, tmp_path: Path) -> None:
    ended = run({"set": name, "model": "broken"}, whole, tmp_path / "world")
    assert ended.status == 2 and not ended.left
    *_, line = said(ended.stderr)
    assert "nan" in line and line.startswith("error: ") and "Traceback" not in ended.stderr
