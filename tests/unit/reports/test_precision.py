"""Runs in several number formats, as the tools would leave them, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megatron_speech.config.reports.precision_report import PrecisionReportConfig
from megatron_speech.reports.precision import precision_report
from tests.kept import kept_record

SHIFTS = {"float32": -0.001, "bfloat16": 0.0, "delayed": 0.5}

CONFIG = {
    "model": {"hidden_size": 32, "megatron": {}},
    "data": {"seed": 1, "reader": {"threads": 1}},
    "optimizer": {"lr": 1e-3},
    "train": {"tokens": 3000, "stop_at_step": None},
}


def _make(folder: Path) -> None:
    for name, shift in SHIFTS.items():
        run = folder / name
        run.mkdir(parents=True)
        lines = [
            kept_record(
                "metrics",
                step=step,
                loss_by_modality={"text": 5 - step / 10 + shift, "speech": 6 - step / 10 + 2 * shift},
            )
            for step in range(1, 11)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = {
            "plan": "p" * 64,
            "steps": 10,
            "tokens": {"text": 1000, "speech": 2000},
            "tokens_per_s": 1234.0,
            "validation": {"interleaved": {"text": 4 + shift, "speech": 5 - shift}},
        }
        (run / "done.json").write_text(json.dumps(done))
        (run / "config.yaml").write_text(json.dumps({**CONFIG, "folder": name, "precision": {"fp8": name}}))
    error = {"relative_error": 0.1234, "cosine": 0.99}
    facts = {
        "step": 10,
        "targets": 4096,
        "errors": {"delayed": dict.fromkeys(("text rows", "speech rows", "layers"), error)},
    }
    (folder / "gradients").mkdir()
    (folder / "gradients/manifest.json").write_text(json.dumps({"kind": "gradient_error", "facts": facts}))


def test_differences_are_beside_the_baseline(tmp_path: Path) -> None:
    _make(tmp_path)
    precision_report(PrecisionReportConfig(folder=tmp_path, runs=list(SHIFTS), last_steps=3))
    report = (tmp_path / "report.md").read_text()
    # Steps 8 to 10: 5 - 0.9 = 4.1 and 6 - 0.9 = 5.1; held out 4 and 5.
    assert "| **bfloat16** | 4.100 | 4.000 | 5.100 | 5.000 | 1,234 |" in report
    assert "| delayed | +0.5000 | +0.5000 | +1.0000 | -0.5000 | 1,234 |" in report
    assert "| float32 | -0.0010 | -0.0010 | -0.0020 | +0.0010 | 1,234 |" in report
    assert "| delayed | 12.34% / 0.99000 | 12.34% / 0.99000 | 12.34% / 0.99000 |" in report
    assert "10 steps on 1,000 text and 2,000 speech targets" in report and "4,096 targets" in report
    assert (tmp_path / "precision.png").stat().st_size > 10_000


def test_runs_over_other_rows_are_refused(tmp_path: Path) -> None:
    _make(tmp_path)
    done = json.loads((tmp_path / "delayed/done.json").read_text())
    (tmp_path / "delayed/done.json").write_text(json.dumps({**done, "plan": "q" * 64}))
    with pytest.raises(ValueError, match=r"run delayed: plan qqqqqqqqqqqq .* train all runs on the same rows"):
        precision_report(PrecisionReportConfig(folder=tmp_path, runs=list(SHIFTS)))


@pytest.mark.parametrize(("section", "key"), [("model", "hidden_size"), ("optimizer", "lr"), ("train", "seed")])
def test_runs_that_differ_in_more_than_precision_are_refused(tmp_path: Path, section: str, key: str) -> None:
    _make(tmp_path)
    other = {**CONFIG, section: {**CONFIG[section], key: 64}}
    (tmp_path / "delayed/config.yaml").write_text(json.dumps(other))
    with pytest.raises(ValueError, match=rf"run delayed: {section}.{key}=64, but .* in the baseline bfloat16; compare"):
        precision_report(PrecisionReportConfig(folder=tmp_path, runs=list(SHIFTS), last_steps=3))


def test_how_rows_are_read_and_when_a_run_paused_may_differ(tmp_path: Path) -> None:
    _make(tmp_path)
    data, train = {**CONFIG["data"], "reader": {"threads": 4}}, {**CONFIG["train"], "stop_at_step": 5}
    (tmp_path / "delayed/config.yaml").write_text(json.dumps({**CONFIG, "data": data, "train": train}))
    precision_report(PrecisionReportConfig(folder=tmp_path, runs=list(SHIFTS), last_steps=3))


def test_more_last_steps_than_there_are_is_refused(tmp_path: Path) -> None:
    _make(tmp_path)
    with pytest.raises(ValueError, match="last_steps=11 is more than the 10 steps of the runs"):
        precision_report(PrecisionReportConfig(folder=tmp_path, runs=list(SHIFTS), last_steps=11))


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    _make(tmp_path)
    with pytest.raises(FileNotFoundError, match="run tensorwise is not finished"):
        precision_report(PrecisionReportConfig(folder=tmp_path, runs=["bfloat16", "tensorwise"]))


def test_gradients_may_be_missing(tmp_path: Path) -> None:
    _make(tmp_path)
    precision_report(PrecisionReportConfig(folder=tmp_path, runs=list(SHIFTS), last_steps=3, gradients=Path("none")))
    assert "Not measured." in (tmp_path / "report.md").read_text()


def test_the_baseline_must_be_a_run() -> None:
    with pytest.raises(ValueError, match="baseline=bfloat16 is not among runs="):
        PrecisionReportConfig(runs=["float32"])
