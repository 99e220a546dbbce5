"""How much of a corpus is read: by bytes, compressed or not, and by rows of Parquet; records are the same as ever."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.corpus.read_share import ReadShare
from megatron_speech.corpus.text_tasks import TextTask, named, text_tasks
from megatron_speech.randomness import sha256_hex

ROWS = [{"id": f"d{n}", "text": sha256_hex(str(n)) * 40} for n in range(400)]


def write(path: Path) -> Path:
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
    if path.suffix == ".parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    elif path.suffix == ".zst":
        path.write_bytes(pytest.importorskip("zstandard").compress(lines))
    else:
        path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def task_of(folder: Path) -> TextTask:
    (task,) = text_tasks({"a": TextCorpusConfig(path=folder)}, files_per_task=9)
    return task


def test_a_limited_corpus_is_named_by_its_limit() -> None:
    corpora = {"books": TextCorpusConfig(path="b"), "web": TextCorpusConfig(path="w", max_documents=1200)}
    assert named(corpora) == "books, web (first 1,200 documents)"


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_the_share_grows_with_the_records(tmp_path: Path, ending: str) -> None:
    for name in ("one", "two"):
        write(tmp_path / f"{name}{ending}")
    task = task_of(tmp_path)
    watched = ReadShare(task.files)
    found, shares = [], []
    for index, number, document in task.read(watched):
        found.append((index, number, document))
        shares.append(watched.share(index, number))
    assert found == list(task.read())
    assert shares == sorted(shares) and len(set(shares)) > 1
    # A reader is ahead by its buffer, at most a file.
    assert 0 < shares[0] <= 0.5 < shares[len(ROWS)] and shares[-1] == pytest.approx(1)


def test_lines_are_counted_by_their_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    task = task_of(path)
    watched = ReadShare(task.files)
    for index, number, _ in task.read(watched):
        line = path.stat().st_size / len(ROWS)
        assert abs(watched.share(index, number) * path.stat().st_size - number * line) <= 2 * (1 << 17)
