"""Curves of accuracy over a training: what is drawn against what, and what must not be drawn together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megatron_speech.config.inspection.evaluation_curves import EvaluationCurvesConfig
from megatron_speech.evaluation.comparison.curves import evaluation_curves, read_curves
from tests.toy_evaluations import credits, error_evaluation, evaluation

PAIRS = ("text->text", "speech->text")


def scored(folder: Path, *, right: float, tokens: int | None, **more) -> Path:
    """An evaluation of a model with so many right answers, which was trained on so many tokens."""
    made = evaluation(folder, {pair: credits(right, seed=place) for place, pair in enumerate(PAIRS)}, **more)
    trained = {} if tokens is None else {"trained": {"step": 1, "tokens": {"text": tokens - 10, "speech": 10}}}
    (made / "evaluation.json").write_text(json.dumps(trained))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three checkpoints, out of order, and an export whose checkpoint is gone."""
    for step, right in ((100, 0.9), (20, 0.7), (3, 0.5)):
        scored(tmp_path / "all" / f"pretrain-step_{step}" / "cloze", right=right, tokens=1000 * step)
    scored(tmp_path / "all" / "hf" / "cloze", right=0.8, tokens=None)
    return tmp_path / "all"


def test_points_stand_in_the_order_of_tokens(folder: Path) -> None:
    (curve,) = read_curves(EvaluationCurvesConfig(folder=folder, resamples=100))
    assert (curve.task, curve.chance, curve.topline) == ("Cloze", 0.5, None)
    assert [(point.model, point.tokens) for point in curve.points] == [
        ("hf", None),
        ("pretrain-step_3", 3_000),
        ("pretrain-step_20", 20_000),
        ("pretrain-step_100", 100_000),
    ]
    assert {point.series for point in curve.points} == {"hf", "pretrain"}
    for point in curve.points:
        assert set(point.scores) == set(PAIRS)
        assert all(each.low < each.value < each.high for each in point.scores.values())
    written = credits(0.9, seed=0)
    assert curve.points[-1].scores["text->text"].value == pytest.approx(sum(written) / len(written))


def test_the_report_has_a_table_and_a_figure(folder: Path, tmp_path: Path) -> None:
    topline = scored(tmp_path / "whisper", right=0.95, tokens=None, more={"data": {"d": "heard"}})
    evaluation_curves(EvaluationCurvesConfig(folder=folder, topline=topline, resamples=100))
    lines = (folder / "report.md").read_text().splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert names[2:] == [
        "hf",
        *(f"pretrain-step_{step}" for step in (3, 20, 100)),
        "chance",
        f"topline: {tmp_path.name}/whisper, in writing",
    ]
    assert any(line.startswith("| pretrain-step_20 | 20,000 | ") for line in lines)
    assert "![Accuracy of Cloze over trained tokens](Cloze.png)" in lines
    drawn = (folder / "Cloze.png").read_bytes()
    assert drawn.startswith(b"\x89PNG") and not list(folder.glob("*.tmp.png"))
    evaluation_curves(EvaluationCurvesConfig(folder=folder, topline=topline, resamples=100))
    assert (folder / "Cloze.png").read_bytes() == drawn


def test_error_rates_have_curves_of_their_own(tmp_path: Path) -> None:
    for step, edits in ((1, 5), (2, 3)):
        made = error_evaluation(tmp_path / f"run-step_{step}" / "recognition", [edits, edits + 1] * 20)
        (made / "evaluation.json").write_text(json.dumps({"trained": {"step": step, "tokens": {"text": step}}}))
    curves = read_curves(EvaluationCurvesConfig(folder=tmp_path, resamples=100))
    assert [(curve.task, curve.rate, curve.chance) for curve in curves] == [
        ("clean cer", "cer", None),
        ("clean wer", "wer", None),
    ]
    for curve in curves:
        assert [point.scores["speech->text"].value for point in curve.points] == pytest.approx([0.55, 0.35])


def test_unequal_protocols_and_items_are_refused(folder: Path) -> None:
    other = scored(folder / "pretrain-step_200" / "cloze", right=0.9, tokens=5, more={"code": "d"})
    with pytest.raises(ValueError, match=r"different protocols .*code.*accept: \[code\]"):
        read_curves(EvaluationCurvesConfig(folder=folder, resamples=100))
    assert len(read_curves(EvaluationCurvesConfig(folder=folder, accept=["code"], resamples=100))) == 1
    lines = (other / "items.jsonl").read_text().splitlines()
    (other / "items.jsonl").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ValueError, match="items of Cloze text->text are in one of them only"):
        read_curves(EvaluationCurvesConfig(folder=folder, accept=["code"], resamples=100))


def test_a_folder_without_evaluations_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no evaluation of a list of models"):
        read_curves(EvaluationCurvesConfig(folder=tmp_path))
