"""Whatever a table, a folder or a tar holds, it is read or refused by name: no other error leaves the reader."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.sources import read_sources, write_kaldi, write_tar, written

quickly = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["audio", "text", "id", "path", "sentence", "offset", "duration", "start", "end_ms", "channel", "audio_filepath"]
)


def read_or_refused(path: Path, **changes: Any) -> None:
    try:
        sources = read_sources(path, **changes) if "tars" not in changes else read_sources(**changes)
    except (ValueError, FileNotFoundError) as error:
        assert str(path.name if path.is_file() else path) in str(error) or "which fits" in str(error)
        assert "\n" not in str(error)
    else:
        assert all(source.key and source.place for source in sources)
        json.dumps([source.meta for source in sources], ensure_ascii=False, allow_nan=False).encode()


@quickly
@given(content=st.binary(max_size=200), name=st.sampled_from(["t.jsonl", "t.tsv", "t.csv", "t.json.gz", "t.parquet"]))
def test_any_bytes_as_a_table(tmp_path: Path, content: bytes, name: str) -> None:
    read_or_refused(written(tmp_path, content, name))


@quickly
@given(rows=st.lists(st.dictionaries(KEYS | TEXT, JSON, max_size=6), min_size=1, max_size=3))
@example(rows=[{"path": "/", "sentence": "x"}])
def test_any_objects_as_rows(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    read_or_refused(written(tmp_path, lines.encode("utf-8", "surrogatepass"), "t.jsonl"))


@pytest.mark.parametrize(("name", "dialect"), [("t.csv", "excel"), ("t.tsv", "excel-tab"), ("t.jsonl", None)])
@quickly
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_any_text_comes_back_from_its_own_writer(
    tmp_path: Path, name: str, dialect: str | None, texts: list[str]
) -> None:
    if dialect is None:
        content = "".join(json.dumps({"audio": f"{number}", "text": text}) + "\n" for number, text in enumerate(texts))
    else:
        texts = [text.replace("\n", " ") for text in texts] if dialect == "excel-tab" else texts
        file = io.StringIO()
        csv.writer(file, dialect).writerows([["audio", "text"], *enumerate(texts)])
        content = file.getvalue()
    assert [source.text for source in read_sources(written(tmp_path, content, name))] == texts


@quickly
@given(lines=st.lists(st.tuples(st.sampled_from(["wav_scp", "text", "segments", "utt2spk"]), TEXT), max_size=6))
def test_any_lines_as_a_kaldi_folder(tmp_path: Path, lines: list[tuple[str, str]]) -> None:
    files = {"wav_scp": "r a.wav\n", "text": "r x\n", "segments": "r r 0 1\n"}
    for name, line in lines:
        files[name] = files.get(name, "") + line + "\n"
    read_or_refused(write_kaldi(tmp_path, **files))


@quickly
@given(changes=st.dictionaries(st.sampled_from(["id", "start", "duration", "channel", "recording"]), JSON, max_size=2))
def test_any_values_in_a_cut(tmp_path: Path, changes: dict[str, Any]) -> None:
    source = {"type": "file", "channels": [0], "source": "a.wav"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 32000, "duration": 2.0}
    supervision = {"id": "s", "recording_id": "r", "start": 0, "duration": 1, "channel": 0, "text": "x"} | changes
    cut = {"id": "c", "start": 0, "duration": 1, "channel": 0, "recording": recording, "type": "MonoCut"}
    rows = [cut | {"supervisions": [supervision]}, cut | {"supervisions": []} | changes]
    for row in rows:
        read_or_refused(written(tmp_path, json.dumps(row), "cuts.jsonl"), layout="lhotse")


@quickly
@given(
    harm=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4),
    end=st.integers(0, 20_000),
    pack=st.sampled_from(["w", "w:gz", "w:xz"]),
)
def test_any_damage_of_a_tar(tmp_path: Path, harm: list[tuple[int, int]], end: int, pack: str) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.wav", b"A" * 600), ("a.txt", b"x"), ("b.json", b"{}")], mode=pack)
    data = bytearray(path.read_bytes())
    for place, value in harm:
        data[place % len(data)] = value
    path.write_bytes(data[:end])
    read_or_refused(path, tars=str(path))
