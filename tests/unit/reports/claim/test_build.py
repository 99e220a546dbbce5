"""The report on the paper's claim: accuracies by group, paired differences, trends, and what is kept of the runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.probe import LayersProbeFacts
from megatron_speech.artifacts.facts.training import RunSummary, SourceTokens
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.reports.claim import ArmConfig, ClaimReportConfig
from megatron_speech.reports.claim.arms import read_arms, slope, trend
from megatron_speech.reports.claim.build import GROUPS, PAIRS, claim_report
from tests.toys import write_jsonl

ARMS = {
    "interleaved": ArmConfig(text=0.4, interleaved=0.6),
    "paired": ArmConfig(text=0.4, recognition=0.6),
    "later": ArmConfig(text=1.0),
}


def summary(planned: dict[str, int]) -> Any:
    """What a training of ten steps says of itself."""
    return RunSummary(
        steps=10,
        consumed_samples=10,
        tokens={},
        loss=1.0,
        losses={},
        validation={},
        validation_targets={},
        validation_rows={},
        tokens_per_s=20.0,
        plan="",
        damage={},
        tokens_by_source={source: SourceTokens(planned=tokens, read=tokens) for source, tokens in planned.items()},
    ).to_json()


def answered(folder: Path, arm: str, seed: int, right: dict[str, list[float]]) -> None:
    """A finished training run whose spoken questions, by group, got these credits; all others are right."""
    here = folder / arm / str(seed)
    for part in ("run", "evaluation"):
        (here / part).mkdir(parents=True)
    planned = {source: round(1000 * share) for source, share in ARMS[arm].shares.items()}
    (here / "run" / "done.json").write_text(json.dumps(summary(planned)))
    half = {pair: {group: {"value": 0.5} for group in GROUPS} for pair in PAIRS}
    with make_artifact(here / "probe", kind="layers_probe", config=None) as draft:
        share = EstimateFacts(value=0.1 + seed / 10, low=0.0, high=1.0, items=4)
        draft.facts = LayersProbeFacts(questions=4, layers={"0": share, "1": share})
    line = {"step": 5, "losses": {}, "targets": {}, "rows": {}, "trained_tokens": 400, "tasks": {"geo_qa": half}}
    write_jsonl(here / "run" / "validation.jsonl", line)
    write_jsonl(
        here / "evaluation" / "items.jsonl",
        *(
            {"task": "GeoQA", "pair": pair, "group": group, "item": f"{group}{item}", "reading": reading}
            | {"credit": right[group][item] if pair == "speech->text" and group in right else 1.0}
            for pair in PAIRS
            for group in GROUPS
            for item in range(4)
            for reading in (0, 1)
        ),
    )


@pytest.fixture
def config(tmp_path: Path) -> ClaimReportConfig:
    answered(tmp_path, "interleaved", 0, {"written_only": [1.0, 1.0, 1.0, 0.0]})
    answered(tmp_path, "interleaved", 1, {"written_only": [1.0, 1.0, 0.0, 0.0]})
    answered(tmp_path, "paired", 0, {"written_only": [0.0, 0.0, 1.0, 0.0]})
    return ClaimReportConfig(arms=ARMS, folder=tmp_path)


def test_a_question_counts_once_whatever_its_readings_and_seeds(config: ClaimReportConfig) -> None:
    arms, absent = read_arms(config)
    assert absent == {"later": "not run"}
    first = arms[0]
    cell = ("speech->text", "written_only")
    assert first.of_seeds(cell) == [0.75, 0.5] and list(first.seeds) == ["0", "1"]
    estimate = first.accuracy(cell)
    assert (estimate.value, estimate.items) == (0.625, 4), "four questions, not sixteen answers"
    assert (first.tokens, first.interleaved_tokens, first.minutes) == (1000, 600, pytest.approx(1000 / 20 / 60))
    assert first.along(cell) == {500: [0.5, 0.5]}


def test_the_report_pairs_arms_by_question(config: ClaimReportConfig) -> None:
    claim_report(config)
    text = (config.folder / "report.md").read_text()
    assert (config.folder / "claim.png").stat().st_size > 5000
    # Differences of the four questions: 1, 1, -0.5, 0; their mean over its standard error.
    assert "+37.5 (" in text and ", 1.0 standard errors" in text
    assert "62.5 %" in text and "; 0.75 0.50 |" in text
    assert all(f"## {words.capitalize()}" in text for words in PAIRS.values())
    assert "later" in text.split("##")[-1], "an arm that was not run is named"


def test_shares_that_are_no_whole_are_refused(tmp_path: Path) -> None:
    config = ClaimReportConfig(arms={"odd": ArmConfig(text=0.5, interleaved=0.6)}, folder=tmp_path)
    with pytest.raises(ValueError, match=r"arms\.odd: shares must add up to 1, not \{'text': 0.5"):
        claim_report(config)


def test_a_folder_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no arm with an evaluation; run examples/claim/run\.sh first"):
        claim_report(ClaimReportConfig(arms=ARMS, folder=tmp_path))


def test_a_trend_is_the_mean_slope_of_the_questions(config: ClaimReportConfig, tmp_path: Path) -> None:
    assert slope([1.0, 1.0, 1.0]) == 0 and slope([0.0, 1.0, 0.0, 1.0]) == pytest.approx(0.2)
    answered(tmp_path, "later", 0, {"written_only": [0.0, 0.0, 0.0, 0.0]})
    arms, _ = read_arms(config)
    by_name = {arm.name: arm for arm in arms}
    rising = trend([by_name[name] for name in ("later", "paired", "interleaved")], ("speech->text", "written_only"))
    # Credits in the three arms: 0 0 1, 0 0 1, 0 1 0.5, 0 0 0.
    assert rising.estimate.value == pytest.approx((0.5 + 0.5 + 0.25 + 0) / 4)
    assert 0.05 < rising.p < 0.2
    claim_report(replace(config, amounts=["later", "paired", "interleaved"]))
    assert "## The trend over interleaved tokens" in (config.folder / "report.md").read_text()


def test_the_report_is_made_again_from_what_is_kept(config: ClaimReportConfig, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    claim_report(replace(config, keep=kept))
    first = (kept / "report.md").read_text()
    assert "| interleaved | 15.0 % | 15.0 % |" in first, "the mean over seeds, of each layer"
    assert "62.5 %" in first and not (config.folder / "report.md").exists()
    claim_report(replace(config, folder=kept))
    assert (kept / "report.md").read_text() == first
