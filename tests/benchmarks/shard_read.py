#!/usr/bin/env python
"""Random rows out of packed shards against megatron-core's `IndexedDataset.get`, which knows no checksums.

The same rows of 8,193 int32 lie in our shards and in a .bin and .idx of megatron-core's own builder, all in the page
cache. Every turn reads the same rows in the same random order into arrays of their own, by four ways: megatron-core;
ours through a map and through pread, unchecked, by the offsets of our sidecars; and `RowFolder.row`, which checks every
row and brings its boundaries. CPU-time medians of alternating turns are compared. The last line is JSON.
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
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from numpy.typing import NDArray

from megatron_speech.data.shards.block_writer import BlockWriter
from megatron_speech.data.shards.rows import RowBlock, RowFolder, write_rows
from megatron_speech.data.shards.sidecar import ShardIndex, map_file
from megatron_speech.vocabulary import Vocabulary

SEQ = 8192
BLOCK_ROWS = 128
LIMITS = {"mmap": 1.0, "pread": 0.75, "checked": 0.9}
"""Least speed relative to megatron-core."""
VOCABULARY = Vocabulary(num_text_ids=150_000, num_speech_ids=16_384)

Read = Callable[[int], NDArray[np.int32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few rows, not judged")
    short = parser.parse_args().short
    warnings.simplefilter("ignore")
    num_rows, turns = (2 * BLOCK_ROWS, 3) if short else (32 * BLOCK_ROWS, 31)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), num_rows)
        times = measure(ways(Path(folder)), num_rows=num_rows, turns=turns)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: round(medians["megatron_core"] / medians[name], 3) for name in LIMITS}
    result = {
        "name": "shard_read",
        "ratio": ratios,
        "limit": LIMITS,
        "better": "higher",
        "short": short,
        "us_per_row": {name: round(1e6 * value, 2) for name, value in medians.items()},
    }
    print(json.dumps(result))
    if not short and any(ratios[name] < limit for name, limit in LIMITS.items()):
        raise SystemExit(1)


def write(folder: Path, num_rows: int) -> None:
    """Random rows of documents of about 1,000 tokens, in both formats."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    rng = np.random.default_rng(0)
    builder = IndexedDatasetBuilder(str(folder / "core.bin"), dtype=np.int32)
    with BlockWriter(
        folder / "rows",
        name="rows",
        kind="rows",
        vocabulary=VOCABULARY,
        seq_length=SEQ,
        shard_tokens=8 * BLOCK_ROWS * SEQ,
    ) as writer:
        for _ in range(num_rows // BLOCK_ROWS):
            tokens = rng.integers(1, VOCABULARY.size, (BLOCK_ROWS, SEQ + 1), dtype=np.int32)
            starts = np.array([(row, at, 0) for row in range(BLOCK_ROWS) for at in range(0, SEQ, 1000)])
            used = np.full(BLOCK_ROWS, SEQ + 1)
            write_rows(writer, RowBlock(tokens=tokens, starts=starts, context=np.zeros((0, 3), np.int64), used=used))
            for row in tokens:
                builder.add_document(row, [len(row)])
    builder.finalize(str(folder / "core.idx"))


def ways(folder: Path) -> dict[str, Read]:
    """Every way to read a row by its number; each returns an array of its own."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    core = IndexedDataset(str(folder / "core"), multimodal=False, mmap=True)
    rows = RowFolder(folder / "rows")
    mapped, pread = by_offsets(folder / "rows", rows)
    return {
        "megatron_core": lambda number: core.get(number).copy(),
        "mmap": mapped,
        "pread": pread,
        "checked": lambda number: rows.row(number).tokens,
    }


def by_offsets(folder: Path, rows: RowFolder) -> tuple[Read, Read]:
    """Rows through a map of the tar, and by pread, at the offsets that the sidecars state."""
    first, places = [0], []
    maps, files = [], []
    for entry in rows.index.shards:
        maps.append(np.frombuffer(map_file(folder / entry.name), "<i4"))
        files.append(os.open(folder / entry.name, os.O_RDONLY))
        shard = ShardIndex.load(folder, entry.name, checksum=entry.checksum)
        for block, items in enumerate(shard.items.tolist()):
            places.append((len(maps) - 1, shard.member(block, "tokens.i32").offset))
            first.append(first[-1] + items)
    width = SEQ + 1

    def mapped(number: int) -> NDArray[np.int32]:
        block = bisect_right(first, number) - 1
        shard, offset = places[block]
        start = offset // 4 + (number - first[block]) * width
        return maps[shard][start : start + width].copy()

    def pread(number: int) -> NDArray[np.int32]:
        block = bisect_right(first, number) - 1
        shard, offset = places[block]
        return np.frombuffer(os.pread(files[shard], 4 * width, offset + 4 * width * (number - first[block])), "<i4")

    return mapped, pread


def measure(ways: dict[str, Read], *, num_rows: int, turns: int) -> dict[str, list[float]]:
    """CPU seconds per row of every turn; the first turn only warms up, and compares what is read."""
    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(turns + 1):
        order = rng.permutation(num_rows)[:1024].tolist() if turn else range(num_rows)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            read = ways[name]
            start = time.process_time()
            for number in order:
                read(number)
            if turn:
                times[name].append((time.process_time() - start) / len(order))
    for number in range(0, num_rows, 37):
        expected = ways["megatron_core"](number)
        assert all(np.array_equal(read(number), expected) for read in ways.values()), number
    return times


if __name__ == "__main__":
    main()
