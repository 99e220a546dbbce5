"""The report on the paper's claim: accuracies by group, differences paired by question, arms that were not run."""

from pathlib import Path

import pytest

from megatron_speech.config.reports.claim import ArmConfig, ClaimReportConfig
from megatron_speech.reports.claim import GROUPS, PAIRS, claim_report, read_arms
from tests.toys import write_jsonl

ARMS = {
    "interleaved": ArmConfig(text=0.4, interleaved=0.6),
    "paired": ArmConfig(text=0.4, recognition=0.6),
    "later": ArmConfig(text=1.0),
}


def answered(folder: Path, arm: str, seed: int, right: dict[str, list[float]]) -> None:
    """A finished training run whose spoken questions, by group, got these credits; all others are right."""
    here = folder / arm / str(seed)
    for part in ("run", "evaluation"):
        (here / part).mkdir(parents=True)
    write_jsonl(here / "run" / "metrics.jsonl", {"consumed_tokens": 1000})
    (here / "evaluation" / "manifest.json").write_text("{}")
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
    assert first.interleaved_tokens == pytest.approx(600)


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
