"""The table of scores: one line per estimate, whatever the task, with its chance and the number of items."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from megatron_speech.commands import printed
from megatron_speech.evaluation import harness
from megatron_speech.evaluation.score_table import FEW, LOSS, score_table


def estimate(value: float, items: int) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "items": items}


def test_every_estimate_is_a_line_with_its_chance() -> None:
    results = {
        "model": "hf",
        "cloze": {"WikiTopicCloze": {"text->text": estimate(0.75, 1200)}, "chance": 0.5, "score": "per token"},
        "held_out": {"books": {"documents": 4, "text": {**estimate(2.5, 4), "tokens": 99}}},
        "own": estimate(0.3, 7),
        "dtype": "float32",
    }
    head, *lines, few, last = score_table(results)
    assert head.split("  ")[0] == "task" and head.split()[-1] == "n"
    assert [line.split() for line in lines] == [
        ["cloze", "WikiTopicCloze", "text->text", "0.7500", "0.6500", "to", "0.8500", "0.5", "1,200"],
        ["held_out", "books", "text", "2.5000", "2.4000", "to", "2.6000", "-", "4", "few"],
        ["own", "-", "0.3000", "0.2000", "to", "0.4000", "-", "7", "few"],
    ]
    assert last == LOSS and few.startswith(f"few: fewer than {FEW} items")
    assert len({len(line.removesuffix("few").rstrip()) for line in [head, *lines]}) == 1


def test_without_losses_nothing_is_said_of_them() -> None:
    assert len(score_table({"own": estimate(0.3, FEW)})) == 2


def test_the_command_prints_the_table_and_where_the_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluate(config: Any) -> None:
        (config.output / "evaluation.json").write_text(json.dumps({"own": estimate(0.3, FEW)}))

    monkeypatch.setattr(harness, "evaluate", evaluate)
    config: Any = SimpleNamespace(
        output=tmp_path, dry_run=False, models=[], evaluation=SimpleNamespace(output=tmp_path)
    )
    printed.evaluate(config)
    head, line, files = capsys.readouterr().out.splitlines()
    assert (head.split()[0], line.split()[0]) == ("task", "own")
    assert files == f"scores: {tmp_path}/evaluation.json; answers to each item: {tmp_path}/items.jsonl"
