"""Columns that say which part of a recording a row is are understood, or refused by name; never metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sources import read_sources, written


def part(tmp_path: Path, row: dict[str, Any], **changes: Any) -> tuple[Any, ...]:
    (source,) = read_sources(written(tmp_path, [{"audio": "a.wav", "text": "x", **row}]), **changes)
    return source.start_s, source.duration_s, source.channel, source.whole_duration_s, source.defect


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({}, (0, None, None, None)),
        ({"offset": 1.0, "duration": 0.5}, (1, 0.5, None, None)),
        ({"offset": 0, "duration": 1}, (0, 1, None, None)),
        ({"offset": None, "duration": 2.0}, (0, None, None, 2)),
        ({"offset": "", "duration": "2.0"}, (0, None, None, 2)),
        ({"offset": 1.5}, (1.5, None, None, None)),
        ({"duration": 2.0}, (0, None, None, 2)),
        ({"duration_s": 2.0}, (0, None, None, 2)),
        ({"start_s": 1, "end_s": 2.5}, (1, 1.5, None, None)),
        ({"start_ms": 500, "end_ms": 2000}, (0.5, 1.5, None, None)),
        ({"begin_seconds": "1", "duration_ms": "250"}, (1, 0.25, None, None)),
        ({"start_time_ms": 500, "stop_time_ms": 2000}, (0.5, 1.5, None, None)),
        ({"startTimeMs": 500, "End Time (s)": "2"}, (0.5, 1.5, None, None)),
        ({"segment_start_s": 1, "len_s": 1}, (1, 1, None, None)),
        (
            {"audio_duration": 3.0, "num_samples": 5, "segment_id": 3, "channels": 2, "source_start_s": 9},
            (0, None, None, None),
        ),
        ({"channel": "B"}, (0, None, 1, None)),
        ({"channel": "left"}, (0, None, 0, None)),
        ({"channel": "BBC Four", "start": "Monday", "end": None, "segment": True}, (0, None, None, None)),
    ],
)
def test_parts_whose_unit_is_certain_are_honoured(tmp_path: Path, row: dict[str, Any], found: tuple[Any, ...]) -> None:
    assert part(tmp_path, row) == (*found, None)


@pytest.mark.parametrize("name", ["start", "end", "begin", "stop", "start_time", "end_time", "Start", "segment_start"])
@pytest.mark.parametrize("value", [1, 1.5, "1.5", "00:01:02.5", [0.5, 1.5], {"from": 1}])
def test_parts_whose_unit_is_not_certain_are_refused_by_name(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"t.jsonl:1: {name}=.* may say which part .* map it"):
        part(tmp_path, {name: value})


@pytest.mark.parametrize(
    "name",
    [
        *("channel", "start_sample", "end_frame", "frame_offset", "offset_samples", "onset", "segment", "timestamp"),
        *("start_frames", "begin_time", "stop_time", "channel_selector", "channel_id", "from", "to", "t0", "xmin"),
        *("startSample", "offset_us", "vad_start_s", "speech_end", "clip-begin", "start idx"),
    ],
)
def test_samples_frames_and_numbered_channels_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"t.jsonl:1: {name}=1 may say"):
        part(tmp_path, {name: 1})


@pytest.mark.parametrize("name", ["dur", "length", "num_frames", "n_samples", "duration_samples", "audio_duration"])
def test_a_length_in_an_unknown_unit_is_refused_where_a_part_begins(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"t.jsonl:1: {name}=8000 may say"):
        part(tmp_path, {"offset": 1.0, name: 8000})
    assert part(tmp_path, {"offset": 1.0, "duration": 2.0, name: 8000})[:2] == (1.0, 2.0)


def test_a_refused_column_can_be_mapped_or_called_metadata(tmp_path: Path) -> None:
    row = {"begin": 1500, "stop": 2500, "ch": 1, "start": "x"}
    columns = {"start_ms": "begin", "end_ms": "stop", "channel": "ch"}
    assert part(tmp_path, row, columns=columns) == (1.5, 1.0, 1, None, None)
    assert part(tmp_path, {"start": 3, "channel": 2}, metadata=("start", "channel")) == (0, None, None, None, None)
    (source,) = read_sources(written(tmp_path, [{"audio": "a.wav", "text": "x", **row}]), columns=columns)
    assert source.meta == {"audio": "a.wav", "start": "x", "source_start_s": 1.5}


@pytest.mark.parametrize(
    "row",
    [
        {"offset": -1, "duration": 1},
        {"offset": 1, "duration": 0},
        {"start_s": 2, "end_s": 1},
        {"start_s": 0, "end_s": 1, "duration": 9},
    ],
)
def test_a_part_that_cannot_be_goes_to_quarantine(tmp_path: Path, row: dict[str, Any]) -> None:
    defect = part(tmp_path, row)[-1]
    assert defect is not None and defect[0] == "segment"


@pytest.mark.parametrize("value", ["soon", True, [1], "nan", "inf"])
def test_a_time_that_is_no_number_is_named_by_its_line(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match=r"t.jsonl:1: offset=.* must be a number"):
        part(tmp_path, {"offset": value})


def test_a_recording_that_is_whole_in_several_rows_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"audio": "a.wav", "text": "x"}
    read_sources(written(tmp_path, [row | {"offset": 0.0}, row | {"offset": 1.0}, {"audio": "b.wav", "text": "y"}]))
    read_sources(written(tmp_path, [row | {"channel": "A"}, row | {"channel": "B"}]))
    assert not caplog.messages
    read_sources(written(tmp_path, [row | {"piece": 1}, row | {"piece": 2}]))
    assert "1 recordings are whole in several rows each, one of them" in caplog.text and "a.wav" in caplog.text


def test_columns_that_contradict_the_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="columns offset and start_s both say the start"):
        part(tmp_path, {"offset": 1, "start_s": 1})
    with pytest.raises(ValueError, match=r"end_s is where a part ends; map the column where it starts"):
        part(tmp_path, {"end_s": 1})
    with pytest.raises(ValueError, match=r"channel='C' is no channel .a number from 0"):
        part(tmp_path, {"channel": "C"}, columns={"channel": "channel"})
