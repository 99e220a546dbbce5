"""Sorts all documents of the input into an order that depends only on the seed and keys, in constant memory.

Pass 1 reads the shards from front to back, checks every byte, and appends each document to a bucket file. A bucket is a
range of hashes. Pass 2 reads bucket after bucket, each small enough to be sorted in memory, and removes it. Buckets are
written in segments with a checksum each, so damage on the disk is detected. Cost: disk space for a second copy of the
input while packing. A killed run starts over.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from megatron_speech.data.packing.document_folders import DocumentBlock, DocumentFolders, Ints, TokenIds

Records = NDArray[Any]

RECORD = np.dtype([("hash", "<u8"), ("number", "<i8"), ("length", "<i4"), ("target", "<i4")])
"""What a bucket stores about a document besides its tokens; `length` includes the end-of-document id."""
SEGMENT = np.dtype([("checksum", "<u8"), ("documents", "<i8"), ("tokens", "<i8")])
"""Header of a segment in a bucket; the documents' records follow, then their tokens."""
DOCUMENT_BYTES = 128
"""Estimated memory per document besides its tokens."""
SHARE = 4
"""Divisor of the memory for one bucket, and for the documents waiting to be written to buckets. A bucket is in memory
twice while it is sorted, together with the rest of the previous bucket."""
GATHER = 1 << 12
"""Number of documents copied at once; each takes 200 bytes while listed."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Consecutive documents in packing order."""

    tokens: TokenIds
    """[T] tokens of all documents, each followed by an end-of-document id."""
    length: Ints
    """[N] tokens per document, end-of-document id included."""
    target: Ints
    """[N] index of the first target token within the document; at most 0 if all tokens are targets."""
    number: Ints
    """[N] position in the input."""

    @property
    def begin(self) -> Ints:
        """[N] index of each document's first token in `tokens`."""
        return np.cumsum(self.length) - self.length

    @classmethod
    def none(cls) -> Documents:
        """Return an empty set of documents."""
        nothing = np.zeros(0, np.int64)
        return cls(tokens=np.zeros(0, np.int32), length=nothing, target=nothing, number=nothing)

    def rest(self, first: int) -> Documents:
        """Copy everything from token `first` on, which may lie inside a document."""
        end = np.cumsum(self.length)
        low = int(np.searchsorted(end, first, side="right"))
        length, target = self.length[low:].copy(), self.target[low:].copy()
        if len(length):
            length[0] = end[low] - first
            target[0] -= self.length[low] - length[0]
        return Documents(
            tokens=self.tokens[first:].copy(), length=length, target=target, number=self.number[low:].copy()
        )


class Buckets:
    """Bucket files in the folder `scratch`, as a context that removes them at its start and end."""

    def __init__(self, scratch: Path, *, count: int, end_of_document: int) -> None:
        self.count = count
        self._scratch = scratch
        self._sizes = [0] * count
        self._end = np.array([end_of_document], "<i4").tobytes()

    def __enter__(self) -> Buckets:
        shutil.rmtree(self._scratch, ignore_errors=True)  # left by a killed run
        self._scratch.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def append(self, blocks: Sequence[DocumentBlock]) -> None:
        """Append the documents of `blocks` to their buckets."""
        blocks = [block for block in blocks if len(block.length)]
        if not blocks:
            return
        # Describe the documents of all blocks together: record, block, byte range.
        records = np.concatenate([_records(block) for block in blocks])
        holder = np.repeat(np.arange(len(blocks)), [len(block.length) for block in blocks])
        begin = 4 * np.concatenate([block.begin for block in blocks])
        end = begin + 4 * np.concatenate([block.length for block in blocks])
        views = [block.tokens.data.cast("B") for block in blocks]
        # Group them by bucket and write one segment to each.
        bucket = (records["hash"] >> np.uint64(32)) * np.uint64(self.count) >> np.uint64(32)
        order = np.argsort(bucket, kind="stable")
        found, first = np.unique(bucket[order], return_index=True)
        for number, which in zip(found.tolist(), np.split(order, first[1:]), strict=True):
            tokens = [
                self._end.join([*(views[block][start:stop] for block, start, stop in places), b""])
                for places in _grouped(holder[which], begin[which], end[which])
            ]
            self._write(number, records[which].tobytes(), *tokens)

    def read(self, number: int, *, after: Documents, source: DocumentFolders) -> Documents:
        """Read and remove bucket `number`; returns `after` followed by the bucket's documents in packing order.

        Raises:
            ValueError: two documents have the same key, or the bucket was damaged on the disk.
        """
        path = self._scratch / f"{number}.bucket"
        content = path.read_bytes() if self._sizes[number] else b""
        path.unlink(missing_ok=True)
        if len(content) != self._sizes[number]:
            raise ValueError(f"{path}: {self._sizes[number]} bytes written, {len(content)} read; check the disk")
        segments = [(np.zeros(0, RECORD), np.zeros(0, np.int64)), *_segments(content, path)]
        records = np.concatenate([records for records, _ in segments])
        begin = np.concatenate([begin for _, begin in segments])
        order = _order(records, source)
        records, begin = records[order], begin[order]
        length = records["length"].astype(np.int64)
        return Documents(
            tokens=_joined(after.tokens, memoryview(content), begin, begin + 4 * length),
            length=np.concatenate([after.length, length]),
            target=np.concatenate([after.target, records["target"]]),
            number=np.concatenate([after.number, records["number"]]),
        )

    def _write(self, number: int, records: bytes, *tokens: bytes) -> None:
        sizes = np.array([len(records) // RECORD.itemsize, sum(map(len, tokens)) // 4], "<i8").tobytes()
        digest = xxhash.xxh3_64()
        for part in (sizes, records, *tokens):
            digest.update(part)
        with (self._scratch / f"{number}.bucket").open("ab") as file:
            for part in (np.array(digest.intdigest(), "<u8").tobytes(), sizes, records, *tokens):
                self._sizes[number] += file.write(part)


def num_buckets(source: DocumentFolders, memory: int) -> int:
    """Number of buckets so that each fits into its share of `memory`."""
    return 1 + (4 * source.num_tokens + DOCUMENT_BYTES * source.num_documents) // (memory // SHARE)


def _records(block: DocumentBlock) -> Records:
    records = np.empty(len(block.length), RECORD)
    records["hash"], records["number"] = block.hash, block.number
    records["length"], records["target"] = block.length + 1, block.target
    return records


def _segments(content: bytes, path: Path) -> Iterator[tuple[Records, Ints]]:
    """Yield each segment's records, and the byte at which each of its documents begins."""
    at, view = 0, memoryview(content)
    while at < len(content):
        checksum, documents, tokens = np.frombuffer(content, SEGMENT, 1, at)[0].tolist()
        first = at + SEGMENT.itemsize
        middle = first + documents * RECORD.itemsize
        end = middle + 4 * tokens
        if not first < middle < end <= len(content) or xxhash.xxh3_64_intdigest(view[at + 8 : end]) != checksum:
            raise ValueError(f"{path}: what was written at byte {at} is not what was read; check the disk")
        records = np.frombuffer(content, RECORD, documents, first)
        size = 4 * records["length"].astype(np.int64)
        yield records, middle + np.cumsum(size) - size
        at = end


def _order(records: Records, source: DocumentFolders) -> Ints:
    """Positions that sort `records` by hash, and by key if hashes are equal; ValueError for equal keys.

    Equal hashes are rare: a billion documents have about one such pair or none.
    """
    order = np.argsort(records["hash"], kind="stable")
    hashed = records["hash"][order]
    tied = np.flatnonzero(hashed[1:] == hashed[:-1])
    for group in np.split(tied, np.flatnonzero(np.diff(tied) > 1) + 1) if len(tied) else ():
        members = slice(int(group[0]), int(group[-1]) + 2)
        named = sorted((*source.describe(int(records["number"][which])), int(which)) for which in order[members])
        for (key, place, _), (other, other_place, _) in itertools.pairwise(named):
            if key == other:
                raise ValueError(
                    f"key {key!r} names {place} and {other_place}; keys seed the order and must differ: "
                    "leave one document out or rename it"
                )
        order[members] = [which for _, _, which in named]
    return order


def _joined(before: TokenIds, content: memoryview, begin: Ints, end: Ints) -> TokenIds:
    """Concatenate `before` and the given byte ranges of `content`."""
    tokens = np.empty(len(before) + int((end - begin).sum()) // 4, np.int32)
    tokens[: len(before)] = before
    to, at = tokens.data.cast("B"), 4 * len(before)
    for places in _grouped(begin, end):
        part = b"".join([content[start:stop] for start, stop in places])
        to[at : at + len(part)] = part
        at += len(part)
    return tokens


def _grouped(*columns: Ints) -> Iterator[Iterator[tuple[int, ...]]]:
    """Yield the rows of parallel columns, `GATHER` at a time."""
    for low in range(0, len(columns[0]), GATHER):
        yield zip(*(column[low : low + GATHER].tolist() for column in columns), strict=True)
