"""Columns that say which part of a recording a row is are understood, or refused by name; never metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sources import read_sources, write_kaldi, written


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


def test_a_recording_that_stands_whole_in_several_rows_with_other_words_is_refused(tmp_path: Path) -> None:
    one, two = {"audio": "a.wav", "text": "x"}, {"audio": "./a.wav", "text": "y"}
    match = r"t.jsonl:2: names the same whole recording as .*t.jsonl:1, .* may be in piece, q; map columns to start"
    rows = [one | {"piece": "1st", "q": 1, "r": 0}, two | {"piece": "2nd", "q": 2, "r": 0}]
    with pytest.raises(ValueError, match=match):
        read_sources(written(tmp_path, rows))
    with pytest.raises(ValueError, match="may be in q; map"):
        read_sources(written(tmp_path, rows), metadata=("piece",))
    assert len(read_sources(written(tmp_path, rows), metadata=("piece", "q"))) == 2
    with pytest.raises(ValueError, match=r"no other column says the part; map .* list text under metadata"):
        read_sources(written(tmp_path, [one, two]))
    assert len(read_sources(written(tmp_path, [one, two]), metadata=("text",))) == 2
    with pytest.raises(ValueError, match="with other words or none"):
        read_sources(written(tmp_path, [{"audio": "a.wav"}, {"audio": "a.wav"}]), transcripts=False)


def test_a_recording_may_stand_in_several_rows_as_parts_channels_or_with_one_text(tmp_path: Path) -> None:
    row = {"audio": "a.wav", "text": "x"}
    for first, second in [
        ({"offset": 0.0}, {"offset": 1.0, "text": "y"}),
        ({"channel": "A"}, {"channel": "B", "text": "y"}),
        ({"speed": 0.9}, {"speed": 1.1, "text": "x "}),
        ({}, {"text": ""}),
        ({}, {"audio": "b.wav", "text": "y"}),
    ]:
        assert len(read_sources(written(tmp_path, [row | first, row | second]))) == 2


def test_a_recording_that_stands_whole_for_several_utterances_of_kaldi_is_refused(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path, wav_scp="u1 a.wav\nu2 a.wav\n", text="u1 one\nu2 two\n")
    with pytest.raises(ValueError, match=r"text:2|\(u2\): names the same whole recording"):
        read_sources(folder)
    write_kaldi(tmp_path, segments="u1 u1 0 -1\nu2 u2 0 -1\n")
    assert len(read_sources(folder)) == 2


PAIRS = "start_ts end_ts|stime etime|st et|in out|first_sample last_sample|time_in time_out|clip_from clip_to|pos len"
PAIRS += "|audio_begin audio_stop|t1 t2|tbeg tend|left right|lower upper|seek length|inicio fin|开始 结束|cutIn cutOut"
PAIRS += "|cue_in cue_out|startpos endpos"


@pytest.mark.parametrize("pair", PAIRS.split("|"))
def test_pairs_of_columns_that_may_be_times_are_refused_by_name(tmp_path: Path, pair: str) -> None:
    start, end = pair.split()
    with pytest.raises(ValueError, match=rf"t.jsonl:1: ({start}|{end})=.* may say which part"):
        part(tmp_path, {start: 1.5, end: "2.5"})


@pytest.mark.parametrize(
    "row",
    [
        *({name: [1.5, 2.5]} for name in ("timestamps", "interval", "range", "span", "boundaries", "time")),
        *(
            {"time": value}
            for value in ("1.5-2.5", "1.5 --> 2.5", "00:01.5 --> 00:02.5", "[[1.5, 2.5]]", "1.5s to 2.5s")
        ),
        *({"begin": value} for value in ("1.5s", "1500 ms", "PT1.5S", "1,5", "1:02", "1970-01-01 00:00:01.500000")),
        {"segments": [{"start": 1.5, "end": 2.5, "text": "x"}]},
        {"info": {"cut": {"start": 1.5}}},
    ],
)
def test_values_that_hold_times_are_refused_by_name(tmp_path: Path, row: dict[str, Any]) -> None:
    (name,) = row
    with pytest.raises(ValueError, match=rf"t.jsonl:1: {name}=.* may say which part"):
        part(tmp_path, row)
    assert part(tmp_path, row, metadata=(name,)) == (0, None, None, None, None)


def test_times_beside_the_path_of_a_recording_are_refused_by_name(tmp_path: Path) -> None:
    for inner in ({"start": 1.0, "end": 2.0}, {"offset": 16000, "num_frames": 16000}):
        with pytest.raises(ValueError, match=r"t.jsonl:1: audio=.* may say which part"):
            part(tmp_path, {"audio": {"path": "a.wav", **inner}})
    assert part(tmp_path, {"audio": {"path": "a.wav", "sampling_rate": 16000}})[0] == 0


@pytest.mark.parametrize(
    "row",
    [
        *(
            {"channel": value}
            for value in ("agent", "customer", "caller", "ch1", "CH 2", "C", "0,1", "2", [0, 1], "tx")
        ),
        *({name: 1} for name in ("audio_channel", "side", "track", "mic", "channelIndex", "speaker_channel")),
        *({name: "left"} for name in ("audio_channel", "side")),
    ],
)
def test_channels_that_are_not_certain_are_refused_by_name(tmp_path: Path, row: dict[str, Any]) -> None:
    (name,) = row
    with pytest.raises(ValueError, match=rf"t.jsonl:1: {name}=.* which channel .*columns: {{channel: {name}}}"):
        part(tmp_path, row)
    assert part(tmp_path, row, metadata=(name,)) == (0, None, None, None, None)


def test_a_channel_in_unknown_words_is_kept_for_when_the_channels_are_counted(tmp_path: Path) -> None:
    def side(row: dict[str, Any], **changes: Any) -> str | None:
        return read_sources(written(tmp_path, [{"audio": "a.wav", "text": "x", **row}]), **changes)[0].side

    assert side({"channel": "moderator"}) == "channel='moderator'" and side({"track": "x1y"}) == "track='x1y'"
    assert side({"channel": "moderator"}, metadata=("channel",)) is None
    assert side({"channel": "B"}) is None and side({"channel": ""}) is None


def test_columns_of_other_things_are_metadata(tmp_path: Path) -> None:
    row = {"start_date": 2021, "offset_db": -3, "end_reason": 1, "weekend": 1, "trend": 3, "spend": 2, "duration": 1.0}
    row |= {
        "text_length": 5,
        "segment_id": 5,
        "to_lang": "en",
        "segment": "",
        "upload_time": 12,
        "first_name": "A",
        "age_range": "20-29",
    }
    row |= {"channel": "youtube", "channel_id": "UC123", "words": [{"word": "x", "start": 0.1, "end": 0.2}], "in": 1}
    assert part(tmp_path, row) == (0, None, None, 1.0, None)


def test_columns_that_contradict_the_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="columns offset and start_s both say the start"):
        part(tmp_path, {"offset": 1, "start_s": 1})
    with pytest.raises(ValueError, match=r"end_s is the end of a part; map the column of its start"):
        part(tmp_path, {"end_s": 1})
    with pytest.raises(ValueError, match=r"channel='C' is no channel .a number from 0"):
        part(tmp_path, {"channel": "C"}, columns={"channel": "channel"})
