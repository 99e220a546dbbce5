"""The table over text-to-token models: hours, rates with intervals, and what was not run."""

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.text_to_token import RoundTripFacts
from megatron_speech.artifacts.facts.tokens import PackedFacts, TaskDocumentsFacts
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.reports.text_to_token_curve import CurveRowConfig, TextToTokenCurveConfig
from megatron_speech.reports.text_to_token_curve import text_to_token_curve
from tests.kept import kept_facts, kept_record


def _row(folder: Path, *, utterances: int, heard: str | None) -> None:
    """A row whose model was heard to say `heard` for each of two texts of four words."""

    def artifact(name: str, facts: Record, config: dict[str, Any] | None = None) -> None:
        with make_artifact(folder / name, kind=name, config=config or {}, inputs=[]) as draft:
            draft.facts = facts

    pairs = kept_facts("documents_text_to_token", documents=utterances, duration_s=5400.0)
    artifact("documents", TaskDocumentsFacts.from_json(pairs), {"utterances": {"of_first": utterances}})
    artifact("packed", PackedFacts.from_json(kept_facts("packed", rows=20)))
    (folder / "run").mkdir()
    line = kept_record("metrics", step=10, consumed_samples=40)
    (folder / "run" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    losses = {"step": 10, "losses": {"held_out": {"speech": 1.234}}}
    (folder / "run" / "validation.jsonl").write_text(json.dumps(losses) + "\n")
    (folder / "timings.jsonl").write_text('{"stage": "run", "cpu_seconds": 90}\n{"stage": "run", "cpu_seconds": 30}\n')
    sample = {"text": "the red car stopped", "heard_true_codes": "the red car stop", "heard_synthesised": heard}
    artifact("round_trip", RoundTripFacts.from_json(kept_facts("round_trip")))
    (folder / "round_trip" / "samples.jsonl").write_text(2 * (json.dumps(sample) + "\n"))


def test_rows_are_held_against_the_true_codes_of_the_same_texts(tmp_path: Path) -> None:
    _row(tmp_path / "some", utterances=100, heard="a red bus stop")
    _row(tmp_path / "none", utterances=10, heard=None)
    rows = {
        "none": CurveRowConfig(utterances=10, spelling="letters"),
        "some": CurveRowConfig(utterances=100),
        "more": CurveRowConfig(utterances=1000),
    }
    text_to_token_curve(TextToTokenCurveConfig(rows=rows, folder=tmp_path, resamples=100))
    lines = (tmp_path / "report.md").read_text().splitlines()
    cells = {
        line.split(" | ")[0].removeprefix("| "): line.strip("| ").split(" | ")[1:] for line in lines if "|" in line
    }
    assert cells["some"] == [
        *("sounds", "100", "1.5", "10", "2.0", "2", "1.23"),
        *("75.0 % (75.0-75.0)", "25.0 % (25.0-25.0)", "+50.0 (+50.0 to +50.0)"),
    ]
    assert cells["none"][7] == "100.0 % (100.0-100.0)", "a text that was given up is read wrong throughout"
    assert "- not run: `more`" in lines
    assert (tmp_path / "curve.png").is_file()


def test_a_folder_made_with_other_settings_is_refused(tmp_path: Path) -> None:
    _row(tmp_path / "some", utterances=100, heard="the red car stopped")
    config = TextToTokenCurveConfig(rows={"some": CurveRowConfig(utterances=200)}, folder=tmp_path)
    with pytest.raises(ValueError, match=r"made from 100 utterances, rows.some says 200"):
        text_to_token_curve(config)


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    config = TextToTokenCurveConfig(rows={"some": CurveRowConfig(utterances=200)}, folder=tmp_path)
    with pytest.raises(ValueError, match="holds no row with a round trip"):
        text_to_token_curve(config)
