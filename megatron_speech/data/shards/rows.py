"""The layout of packed rows in a block, and reading of one row without reading its block.

Members of a block of K rows:

    tokens.i32    [K, S+1]
    used.i32      [K] tokens before padding
    row.u64       [K] xxh3 checksum of each row's tokens
    cu.i32        each row's document starts and S; row k has entries cuptr.i32[k] to cuptr.i32[k + 1]
    document.i64  input document at each start (-1: padding)
    context.i32   [n, 2] spans that are not targets; row k has entries contextptr.i32[k] to contextptr.i32[k + 1]

Reading a row reads one contiguous range of 4(S+1) bytes. Its checksum is compared at every read, those of the small
members at first use. Cost: 12 bytes per row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from megatron_speech.data.shards.block_folder import BlockFolder, DamagedError
from megatron_speech.data.shards.block_writer import BlockWriter
from megatron_speech.data.shards.document import Row
from megatron_speech.storage.local import OPEN_FILES
from megatron_speech.storage.place import Places
from megatron_speech.vocabulary import Vocabulary

Ints = NDArray[np.int64]

_INT32 = np.dtype("<i4")
_NO_SPANS = np.zeros((0, 2), np.int32)
BOUNDARIES = ["context.i32", "contextptr.i32", "cu.i32", "cuptr.i32", "document.i64", "row.u64"]
"""Members of a block that are read together."""


@dataclass(frozen=True, kw_only=True)
class RowBlock:
    """K packed rows in memory; padding repeats the end-of-document id."""

    tokens: NDArray[np.int32]
    """[K, S+1]."""
    starts: Ints
    """[n, 3] of (row, first input, document): where a document or padding begins; every row has a start at 0."""
    context: Ints
    """[m, 3] of (row, start, end): spans of `tokens` that are not targets if a source trains on targets only."""
    used: Ints
    """[K] number of tokens before padding."""


def write_rows(writer: BlockWriter, block: RowBlock) -> None:
    """Append `block` to the folder of `writer`."""
    num_rows, width = block.tokens.shape
    row, at, document = block.starts.T
    assert at.max() < width - 1, "a document starts after the last input"
    counts = np.bincount(row, minlength=num_rows)
    cu = np.full(len(at) + num_rows, width - 1, np.int64)
    cu[np.arange(len(at)) + row] = at  # shifted by the closing S of each earlier row
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


@dataclass(frozen=True, kw_only=True)
class _Boundaries:
    """All members of a block except its tokens, as stored."""

    cu: NDArray[np.int32]
    cuptr: list[int]
    context: NDArray[np.int32]
    contextptr: list[int]
    documents: Ints
    checksums: list[int]
    tokens_at: int
    """First byte of the tokens in the shard."""
    mapped: NDArray[np.int32] | None
    """[K, S+1] tokens as an unchecked view; None if files are not mapped."""


class RowFolder:
    """Random access to the rows of a packed folder; safe for several threads."""

    def __init__(self, folder: Path, *, vocabulary: Vocabulary | None = None, places: Places | None = None) -> None:
        self._blocks = BlockFolder(folder, kind="rows", vocabulary=vocabulary, places=places)
        self.index = self._blocks.index
        self._first = list(accumulate((shard.items for shard in self.index.shards), initial=0))
        self._row_bytes = 4 * (self.index.seq_length + 1)
        # Each entry may keep a mapped file open.
        self._boundaries = lru_cache(maxsize=OPEN_FILES)(self._read_boundaries)
        self._first_in_shard = lru_cache(maxsize=None)(self._first_row_of_blocks)

    def __len__(self) -> int:
        return self._first[-1]  # called for every row; summing over the index would be slow

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary that the folder was written with."""
        return self._blocks.vocabulary

    def __iter__(self) -> Iterator[Row]:
        """Yield all rows in order, without context spans, block by block. Raises like `row`, but without a retry."""
        for shard in range(len(self.index.shards)):
            for block, num_rows in enumerate(self._blocks.shard(shard).items.tolist()):
                found = self._boundaries(shard, block)
                data = self._blocks.read(shard, block, found.tokens_at, num_rows * self._row_bytes)
                for k, view in enumerate(np.frombuffer(data, _INT32).reshape(num_rows, -1)):
                    row = view.copy()
                    if xxhash.xxh3_64_intdigest(row.data) != found.checksums[k]:
                        raise self._damaged(shard, block, k, found)
                    cu_seqlens = found.cu[found.cuptr[k] : found.cuptr[k + 1]]
                    yield Row(tokens=row, cu_seqlens=cu_seqlens, context=_NO_SPANS, source=0)

    def row(self, number: int, *, source: int = 0, target_only: bool = False) -> Row:
        """Read and check row `number`; includes context spans only if `target_only`.

        Raises:
            DamagedError: the row or its block still differs from what was written after a second read.
        """
        shard, block, k = self._locate(number)
        try:
            return self._row(shard, block, k, source, target_only)
        except DamagedError:
            self._blocks.forget(shard, block)
            return self._row(shard, block, k, source, target_only)

    def documents(self, number: int) -> Ints:
        """Input document number at each of the row's `cu_seqlens`; -1 for padding."""
        shard, block, k = self._locate(number)
        found = self._boundaries(shard, block)
        return found.documents[found.cuptr[k] - k : found.cuptr[k + 1] - k - 1]

    def _row(self, shard: int, block: int, k: int, source: int, target_only: bool) -> Row:
        found = self._boundaries(shard, block)
        if found.mapped is not None:
            tokens = found.mapped[k].copy()  # copied so that the checked bytes are the returned ones
        else:
            byte = found.tokens_at + k * self._row_bytes
            tokens = np.frombuffer(self._blocks.read(shard, block, byte, self._row_bytes), _INT32)
        if xxhash.xxh3_64_intdigest(tokens) != found.checksums[k]:
            raise self._damaged(shard, block, k, found)
        spans = found.context[found.contextptr[k] : found.contextptr[k + 1]] if target_only else _NO_SPANS
        return Row(
            tokens=tokens, cu_seqlens=found.cu[found.cuptr[k] : found.cuptr[k + 1]], context=spans, source=source
        )

    def _damaged(self, shard: int, block: int, k: int, found: _Boundaries) -> DamagedError:
        byte = found.tokens_at + k * self._row_bytes
        return DamagedError(self._blocks.file(shard), block=block, byte=byte, what=f"row {k} of tokens.i32")

    def _locate(self, number: int) -> tuple[int, int, int]:
        """(shard, block, row in the block)."""
        assert 0 <= number < self._first[-1], f"row {number} of {len(self)}"
        # Plain lists, because NumPy's search takes 1 us and reading a mapped row only 5.
        shard = bisect_right(self._first, number) - 1
        within = number - self._first[shard]
        first = self._first_in_shard(shard)
        block = bisect_right(first, within) - 1
        return shard, block, within - first[block]

    def _first_row_of_blocks(self, shard: int) -> list[int]:
        return list(accumulate(self._blocks.shard(shard).items.tolist(), initial=0))

    def _read_boundaries(self, shard: int, block: int) -> _Boundaries:
        """Read the small members at once: members are sorted by name, so these precede the tokens. Copies any map."""
        found = self._blocks.members(shard, block, BOUNDARIES)
        window = self._blocks.window(shard, block, "tokens.i32")

        def array(name: str, dtype: str) -> NDArray[Any]:
            return np.frombuffer(found[name], dtype).copy()

        return _Boundaries(
            cu=array("cu.i32", "<i4"),
            cuptr=array("cuptr.i32", "<i4").tolist(),
            context=array("context.i32", "<i4").reshape(-1, 2),
            contextptr=array("contextptr.i32", "<i4").tolist(),
            documents=array("document.i64", "<i8"),
            checksums=array("row.u64", "<u8").tolist(),
            tokens_at=self._blocks.place(shard, block, "tokens.i32").offset,
            mapped=None if window is None else np.frombuffer(window, _INT32).reshape(-1, self._row_bytes // 4),
        )


def _pointers(counts: Ints) -> bytes:
    """Index of each row's first entry, and the total number of entries."""
    return np.concatenate([[0], np.cumsum(counts)]).astype("<i4").tobytes()
