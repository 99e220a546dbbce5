"""Lines that stages left beside their manifests are read into records and written again with the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.checkpoint import BaseFacts, CheckpointState, Origin
from megatron_speech.artifacts.facts.evaluation import WrittenSample
from megatron_speech.artifacts.facts.interleaved import NoiseRow
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.text_to_token import RoundTripRow
from megatron_speech.artifacts.facts.training import MetricsRecord, RunSummary, ValidationRecord

RECORDS: dict[str, type[Record]] = {
    "checkpoint": CheckpointState,
    "checkpoint_of_weights": CheckpointState,
    "done": RunSummary,
    "metrics": MetricsRecord,
    "noise": NoiseRow,
    "origin": Origin,
    "round_trip": RoundTripRow,
    "samples": WrittenSample,
    "validation": ValidationRecord,
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_kept_record_is_written_again_with_the_same_bytes(name: str) -> None:
    line = (Path(__file__).parent / "records" / f"{name}.json").read_text()
    assert json.dumps(RECORDS[name].from_json(json.loads(line)).to_json()) + "\n" == line


def test_numbers_are_kept_as_they_were_written() -> None:
    """A whole number in a field of fractions stays whole, so that nothing changes by being read."""
    line = {"step": 1, "losses": {"text": {"text": 1, "speech": 0.5}}, "targets": {}, "rows": {}}
    assert json.dumps(ValidationRecord.from_json(line).to_json()) == json.dumps(line)


def test_a_base_without_a_name_is_one_of_no_model() -> None:
    assert BaseFacts.from_json({}).to_json() == {}
    with pytest.raises(ValueError, match=r"base\.name is missing"):
        BaseFacts.from_json({"license": ["mit"]})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "it=.* must be a section with the keys step"),
        ({"step": "4", "losses": {}}, "step=4 must be an integer"),
        ({"step": 4, "losses": {"text": {"text": None}}}, "losses.text.text=None must be a number"),
        ({"losses": {}}, "step is missing"),
    ],
)
def test_an_odd_line_is_named_by_its_key(values: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ValidationRecord.from_json(values)
