"""How packed rows lie in a block, and how one row is read without reading the block.

Per block of K rows: ``tokens.i32`` [K, S+1]; ``cu.i32`` document starts and S of each row, row k from ``cuptr.i32``[k]
to [k+1]; ``document.i64`` the input document of each start (-1: padding); ``context.i32`` [n, 2] spans without targets,
by ``contextptr.i32``; ``used.i32`` [K] tokens before padding; ``row.u64`` an xxh3 checksum of each row's tokens. A row
costs one contiguous range of 4(S+1) bytes; its checksum is compared at every read, the small members' at first touch.
Price: 12 bytes per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from megatron_speech.data.block_folder import BlockFolder
from megatron_speech.data.block_writer import BlockWriter
from megatron_speech.data.document import Row
from megatron_speech.vocabulary import Vocabulary

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RowBlock:
    """K packed rows in memory; padding holds the end-of-document id."""

    tokens: NDArray[np.int32]
    """[K, S+1]."""
    starts: Ints
    """[n, 3] of (row, first input, document): where a document or padding begins; every row has one at 0."""
    context: Ints
    """[m, 3] of (row, start, end): spans of `tokens` which are no targets where a source trains on targets alone."""
    used: Ints
    """[K] tokens of each row before its padding."""


def write_rows(writer: BlockWriter, block: RowBlock) -> None:
    """Append `block`."""
    num_rows, width = block.tokens.shape
    row, at, document = block.starts.T
    assert at.max() < width - 1, "a document starts behind the last input"
    counts = np.bincount(row, minlength=num_rows)
    cu = np.full(len(at) + num_rows, width - 1, np.int64)
    cu[np.arange(len(at)) + row] = at  # each earlier row has added its closing S
    checksums = [xxhash.xxh3_64_intdigest(row.tobytes()) for row in block.tokens.astype("<i4", copy=False)]
    writer.write(
        {
            "tokens.i32": block.tokens.astype("<i4").tobytes(),
            "cu.i32": cu.astype("<i4").tobytes(),
            "cuptr.i32": _pointers(counts + 1),
            "document.i64": document.astype("<i8").tobytes(),
            "context.i32": block.context[:, 1:].astype("<i4").tobytes(),
            "contextptr.i32": _pointers(np.bincount(block.context[:, 0], minlength=num_rows)),
            "row.u64": np.array(checksums, "<u8").tobytes(),
            "used.i32": block.used.astype("<i4").tobytes(),
        }
    )


class RowFolder:
    """Random access to the rows of a packed folder. For one thread at a time."""

    def __init__(self, folder: Path, *, vocabulary: Vocabulary | None = None) -> None:
        self._blocks = BlockFolder(folder, kind="rows", vocabulary=vocabulary)
        self.index = self._blocks.index
        self._first = np.cumsum([0, *(shard.items for shard in self.index.shards)])
        self._small = lru_cache(maxsize=1024)(self._read_small)
        self._first_in_shard = lru_cache(maxsize=None)(self._first_row_of_blocks)

    def __len__(self) -> int:
        return self.index.items

    def row(self, number: int, *, source: int = 0, target_only: bool = False) -> Row:
        """Row `number`, checked; its context spans only if `target_only`.

        Raises:
            ValueError: the row or its block is damaged; file, row and byte are named.
        """
        shard, block, k = self._locate(number)
        cu, cuptr, context, contextptr, checksums, _ = self._small(shard, block)
        width = self.index.seq_length + 1
        tokens = self._blocks.array(shard, block, "tokens.i32", verify=False)[k * width : (k + 1) * width].copy()
        if xxhash.xxh3_64_intdigest(tokens.tobytes()) != checksums[k]:
            name = self.index.shards[shard].name
            byte = self._blocks.shard(shard).member(block, "tokens.i32").offset + k * width * 4
            raise ValueError(
                f"{self._blocks.folder / name}: block {block}, row {k} of tokens.i32 at byte {byte}: checksum differs, "
                "the file is damaged; restore it or pack again"
            )
        spans = context[contextptr[k] : contextptr[k + 1]] if target_only else context[:0]
        return Row(tokens=tokens, cu_seqlens=cu[cuptr[k] : cuptr[k + 1]], context=spans, source=source)

    def documents(self, number: int) -> Ints:
        """Numbers of the row's documents in the folder it was packed from, by `cu_seqlens`; -1 for padding."""
        shard, block, k = self._locate(number)
        _, cuptr, _, _, _, documents = self._small(shard, block)
        return documents[cuptr[k] - k : cuptr[k + 1] - k - 1]

    def _locate(self, number: int) -> tuple[int, int, int]:
        """(shard, block, row in the block)."""
        assert 0 <= number < len(self), f"row {number} of {len(self)}"
        shard = int(np.searchsorted(self._first, number, side="right")) - 1
        within = number - int(self._first[shard])
        first = self._first_in_shard(shard)
        block = int(np.searchsorted(first, within, side="right")) - 1
        return shard, block, within - int(first[block])

    def _first_row_of_blocks(self, shard: int) -> Ints:
        return np.concatenate([[0], np.cumsum(self._blocks.shard(shard).items)])

    def _read_small(self, shard: int, block: int) -> tuple[NDArray, ...]:
        """Everything but the tokens, copied out of the map, checked."""
        read = self._blocks.array
        return (
            read(shard, block, "cu.i32").copy(),
            read(shard, block, "cuptr.i32").copy(),
            read(shard, block, "context.i32").reshape(-1, 2).copy(),
            read(shard, block, "contextptr.i32").copy(),
            read(shard, block, "row.u64", dtype=np.uint64).copy(),
            read(shard, block, "document.i64", dtype=np.int64).copy(),
        )


def _pointers(counts: Ints) -> bytes:
    """Where each row's entries begin, and the end."""
    return np.concatenate([[0], np.cumsum(counts)]).astype("<i4").tobytes()
