"""A damaged line of a log moves aside and is named; the lines behind it stay, and nothing is an error."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.jsonl_log import Record, append_records, cut_log

RECORDS = [{"step": step, "loss": 1 / step} for step in range(1, 11)]
LINES = [json.dumps(record).encode() for record in RECORDS]
FLIPPED = "a flipped number"
DAMAGE = {
    "no JSON": b'{"step": 3, "loss": 0.3333',
    "a flipped key": b'{"stdp": 3, "loss": 0.3333}',
    FLIPPED: b'{"step": 73, "loss": 0.3333}',
    "JSON of another kind": b"3",
    "a number that is none": b'{"step": 3, "loss": NaN}',
    "zeros": bytes(40),
    "not UTF-8": b'{"step": 3, "loss": \xff\xfe}',
    "deeply nested": b"[" * 100_000,
    "nothing": b"",
}


def _cut(path: Path, upto: int = 99) -> list[Record]:
    return cut_log(
        path,
        is_record=lambda record: isinstance(record.get("step"), int) and "loss" in record,
        stays=lambda record: record["step"] <= upto,
        rising="step",
    )


# A last step that is too high is a later step, and no damage.
@pytest.mark.parametrize(("damage", "at"), [(d, at) for d in DAMAGE for at in (0, 2, 9) if (d, at) != (FLIPPED, 9)])
def test_a_damaged_line_moves_aside_named_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, at: int
) -> None:
    path, line = tmp_path / "metrics.jsonl", DAMAGE[damage]
    path.write_bytes(b"\n".join([*LINES[:at], line, *LINES[at + 1 :], b""]))
    with caplog.at_level(logging.WARNING):
        assert _cut(path) == [*RECORDS[:at], *RECORDS[at + 1 :]]
    assert path.read_bytes() == b"\n".join([*LINES[:at], *LINES[at + 1 :], b""])
    assert (tmp_path / "metrics.damaged.jsonl").read_bytes() == line + b"\n"
    (message,) = caplog.messages
    assert f"{path}: line {at + 1} is no record" in message and "moved to metrics.damaged.jsonl" in message


def test_what_a_kill_cut_short_goes_quietly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    for length in range(len(LINES[-1])):
        path.write_bytes(b"\n".join([*LINES[:9], LINES[9][:length]]))
        assert _cut(path) == RECORDS[:9]
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.jsonl"] and not caplog.messages


def test_a_whole_last_line_without_its_end_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join(LINES))
    assert _cut(path) == RECORDS and path.read_bytes().endswith(b"}\n")


def test_garbage_behind_the_last_line_is_no_kill(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([*LINES, bytes(range(128, 200))]))
    assert _cut(path) == RECORDS and len(caplog.messages) == 1


def test_later_steps_go_and_an_absent_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert _cut(path) == [] and not path.exists()
    append_records(path, RECORDS)
    assert _cut(path, upto=4) == RECORDS[:4]
    append_records(path, RECORDS[4:6])
    assert _cut(path) == RECORDS[:6]


def test_what_is_not_finite_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(ValueError, match="loss"):
        append_records(path, [RECORDS[0], {"step": 2, "loss": float("nan")}])
    assert not path.exists()


@settings(max_examples=100, deadline=None)
@given(bit=st.integers(0, 8 * len(b"\n".join([*LINES, b""])) - 1))
def test_one_flipped_bit_costs_two_lines_at_most(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    content = bytearray(b"\n".join([*LINES, b""]))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    kept = _cut(path)
    assert len(kept) >= 8 and [record["step"] for record in kept] == sorted({record["step"] for record in kept})


@pytest.mark.parametrize("at", [0, 4, 9])
@pytest.mark.parametrize("times", [2, 3])
def test_a_record_that_stands_twice_is_dropped_once_and_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int, times: int
) -> None:
    path = tmp_path / "validation.jsonl"
    path.write_bytes(b"\n".join([*LINES[:at], *[LINES[at]] * times, *LINES[at + 1 :], b""]))
    assert _cut(path) == RECORDS
    assert path.read_bytes() == b"\n".join([*LINES, b""])
    assert [each.name for each in tmp_path.iterdir()] == [path.name] and not caplog.messages


@pytest.mark.parametrize("target", ["gone.jsonl", "gone/log.jsonl"])
def test_a_link_to_nothing_and_a_folder_are_named(tmp_path: Path, target: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.symlink_to(target)
    with pytest.raises(ValueError, match=rf"metrics\.jsonl is a link to {target}, where no file is; mend the link"):
        _cut(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"metrics\.jsonl is no file, and this log is written there; move it away"):
        _cut(path)
