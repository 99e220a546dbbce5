"""Packed files as packers write them: many members or frames, frames to skip, long windows; cut ones are named."""

import gzip
import json
from pathlib import Path

import pytest

from megatron_speech.corpus.records import RecordLayout, TextDocument, read_records

zstandard = pytest.importorskip("zstandard", reason="needs the extra [corpus]")

LINES = b"".join(json.dumps({"id": str(n), "text": f"text {n} " * 50}).encode() + b"\n" for n in range(300))
HALF = len(LINES) // 2  # in the middle of a line


def _raw_zstd_frame(content: bytes, *, window_log: int) -> bytes:
    """A frame of raw blocks that says how far its decoder must look back, as ``zstd --long`` writes."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, (window_log - 10) << 3])
    for start in range(0, len(content), 1 << 16):
        block = content[start : start + (1 << 16)]
        frame += (len(block) << 3 | (start + len(block) == len(content))).to_bytes(3, "little") + block
    return frame


SKIPPED = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"index"
"""A frame that holds no text, as seekable and parallel packers write."""

PACKED = {
    "gz, one member": ("c.jsonl.gz", gzip.compress(LINES)),
    "gz, several members": (
        "c.jsonl.gz",
        gzip.compress(LINES[:HALF]) + gzip.compress(LINES[HALF:]),
    ),
    "gz, zeros behind": ("c.jsonl.gz", gzip.compress(LINES) + bytes(100)),
    "zst, one frame": ("c.jsonl.zst", zstandard.compress(LINES)),
    "zst, several frames": ("c.jsonl.zst", zstandard.compress(LINES[:HALF]) + zstandard.compress(LINES[HALF:])),
    "zst, frames to skip": (
        "c.jsonl.zst",
        SKIPPED + zstandard.compress(LINES[:HALF]) + SKIPPED + zstandard.compress(LINES[HALF:]) + SKIPPED,
    ),
    "zst, window of 128 MiB": ("c.jsonl.zst", _raw_zstd_frame(LINES, window_log=27)),
    "zst, window of 2 GiB": ("c.jsonl.zst", _raw_zstd_frame(LINES, window_log=31)),
}


@pytest.mark.parametrize("kind", PACKED)
def test_every_way_of_packing_is_read(tmp_path: Path, kind: str) -> None:
    name, content = PACKED[kind]
    (tmp_path / name).write_bytes(content)
    found = [document for _, document in read_records(tmp_path / name, RecordLayout())]
    assert [document.id for document in found if isinstance(document, TextDocument)] == [str(n) for n in range(300)]


@pytest.mark.parametrize("kind", [kind for kind in PACKED if "zeros" not in kind and "skip" not in kind])
@pytest.mark.parametrize("left", [0.3, 0.7, 0.999])
def test_a_file_that_was_cut_is_named(tmp_path: Path, kind: str, left: float) -> None:
    name, content = PACKED[kind]
    (tmp_path / name).write_bytes(content[: int(len(content) * left)])
    with pytest.raises(ValueError, match=rf"{name}: damaged or truncated"):
        list(read_records(tmp_path / name, RecordLayout()))


@pytest.mark.parametrize("name", ["c.jsonl.gz", "c.jsonl.zst"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(LINES)
    with pytest.raises(ValueError, match=rf"{name}: damaged or truncated"):
        list(read_records(tmp_path / name, RecordLayout()))


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.jsonl.zst"])
def test_an_empty_file_holds_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert list(read_records(tmp_path / name, RecordLayout())) == []
