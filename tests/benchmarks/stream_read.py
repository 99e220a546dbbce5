#!/usr/bin/env python
"""All rows of a shard in order: ours, every checksum compared, against `webdataset.WebDataset` on the same tar.

The tar is ours as it is written, 128 rows of 8,193 int32 to a block, in the page cache; either side ends in one int32
array of its own per row. WebDataset compares no checksums and passes over truncation. As its usual layout has one
sequence per entry, a tar like that with the same rows is measured too, but not judged. CPU-time medians of alternating
turns are compared. The last line is JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray
from webdataset import TarWriter, WebDataset

from megatron_speech.data.shards.block_writer import BlockWriter
from megatron_speech.data.shards.rows import RowBlock, RowFolder, write_rows
from megatron_speech.vocabulary import Vocabulary

SEQ = 8192
BLOCK_ROWS = 128
LIMIT = 10.0
"""Least speed relative to WebDataset on the same tar."""
VOCABULARY = Vocabulary(num_text_ids=150_000, num_speech_ids=16_384)

Rows = Iterator[NDArray[np.int32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few rows, not judged")
    short = parser.parse_args().short
    warnings.simplefilter("ignore")
    num_rows, turns = (BLOCK_ROWS, 2) if short else (32 * BLOCK_ROWS, 15)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), num_rows)
        times = measure(ways(Path(folder)), num_rows=num_rows, turns=turns)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = round(medians["webdataset"] / medians["ours"], 2)
    result = {
        "name": "stream_read",
        "ratio": ratio,
        "limit": LIMIT,
        "better": "higher",
        "short": short,
        "ratio_to_one_row_per_entry": round(medians["webdataset_one_row_per_entry"] / medians["ours"], 2),
        "us_per_row": {name: round(1e6 * value, 2) for name, value in medians.items()},
    }
    print(json.dumps(result))
    if not short and ratio < LIMIT:
        raise SystemExit(1)


def write(folder: Path, num_rows: int) -> None:
    """The same random rows as one shard of ours, and as a tar of one row per entry."""
    rng = np.random.default_rng(0)
    with (
        BlockWriter(folder / "rows", name="rows", kind="rows", vocabulary=VOCABULARY, seq_length=SEQ) as writer,
        TarWriter(str(folder / "entries.tar"), mtime=0, encoder=False) as entries,
    ):
        for block in range(num_rows // BLOCK_ROWS):
            tokens = rng.integers(1, VOCABULARY.size, (BLOCK_ROWS, SEQ + 1), dtype=np.int32)
            starts = np.array([(row, at, 0) for row in range(BLOCK_ROWS) for at in range(0, SEQ, 1000)])
            used = np.full(BLOCK_ROWS, SEQ + 1)
            write_rows(writer, RowBlock(tokens=tokens, starts=starts, context=np.zeros((0, 3), np.int64), used=used))
            for k, row in enumerate(tokens):
                entries.write({"__key__": f"{block * BLOCK_ROWS + k:08d}", "tokens.i32": row.tobytes()})


def ways(folder: Path) -> dict[str, Callable[[], Rows]]:
    """Every way to read all rows in order."""
    (tar,) = (folder / "rows").glob("*.tar")

    def ours() -> Rows:
        for row in RowFolder(folder / "rows"):
            yield row.tokens

    def webdataset() -> Rows:
        for sample in WebDataset(str(tar), shardshuffle=False):
            for row in np.frombuffer(sample["tokens.i32"], "<i4").reshape(-1, SEQ + 1):
                yield row.copy()

    def webdataset_entries() -> Rows:
        for sample in WebDataset(str(folder / "entries.tar"), shardshuffle=False):
            yield np.frombuffer(sample["tokens.i32"], "<i4").copy()

    return {"ours": ours, "webdataset": webdataset, "webdataset_one_row_per_entry": webdataset_entries}


def measure(ways: dict[str, Callable[[], Rows]], *, num_rows: int, turns: int) -> dict[str, list[float]]:
    """CPU seconds per row of every turn; the first turn only warms up, and compares what is read."""
    for rows in zip(*(way() for way in ways.values()), strict=True):
        assert all(np.array_equal(row, rows[0]) for row in rows[1:])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            count = sum(1 for _ in ways[name]())
            times[name].append((time.process_time() - start) / count)
            assert count == num_rows
    return times


if __name__ == "__main__":
    main()
