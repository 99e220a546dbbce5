"""Read blocks of a folder of shards by offset, in any order, checked.

Reading never parses the tar: offsets come from the sidecar, bytes from a memory map, and whatever is handed out was
checked against its checksum first.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from megatron_speech.data.index import FolderIndex
from megatron_speech.data.sidecar import Kind, ShardIndex
from megatron_speech.data.tar_blocks import is_zero
from megatron_speech.vocabulary import Vocabulary


class BlockFolder:
    """Read blocks of a finished folder, in any order, checked. For one thread at a time."""

    def __init__(
        self, folder: Path, *, kind: Kind, vocabulary: Vocabulary | None = None, open_limit: int = 256
    ) -> None:
        self.folder = folder
        self.index = FolderIndex.load(folder)
        if self.index.kind != kind:
            raise ValueError(
                f"{folder}: holds {self.index.kind} where {kind} are needed; point at the folder of the right stage"
            )
        if vocabulary is not None:
            vocabulary.require(self.index.vocabulary, holder=str(folder))
        self._open_limit = open_limit
        self._maps: OrderedDict[int, mmap.mmap] = OrderedDict()
        self._shards: OrderedDict[int, ShardIndex] = OrderedDict()

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary the folder was written with."""
        vocabulary = Vocabulary.load(self.folder / "vocabulary.json")
        vocabulary.require(self.index.vocabulary, holder=f"{self.folder}/shards.json")
        return vocabulary

    def shard(self, number: int) -> ShardIndex:
        """Sidecar of a shard, mapped and checked on first use."""
        if number in self._shards:
            self._shards.move_to_end(number)
            return self._shards[number]
        shard = self._shards[number] = self.index.shard(self.folder, number)
        if len(self._shards) > self._open_limit:
            self._shards.popitem(last=False)
        return shard

    def member(self, shard: int, block: int, name: str, *, verify: bool = True) -> memoryview:
        """Payload of one member, a view of the memory map; ValueError names file, member and offset of any damage."""
        entry = self.shard(shard).member(block, name)
        view = memoryview(self._map(shard))
        if verify:
            start, end = entry.span
            if xxhash.xxh3_64_intdigest(view[start:end]) != entry.checksum:
                raise ValueError(
                    f"{self.folder / self.index.shards[shard].name}: block {block}, {name} at byte {entry.offset}: "
                    "checksum differs, the file is damaged; restore it or rerun the stage that wrote it"
                )
        return view[entry.offset : entry.offset + entry.size]

    def array(self, shard: int, block: int, name: str, *, dtype: type = np.int32, verify: bool = True) -> NDArray[Any]:
        """Like `member`, as a read-only array of little-endian `dtype`."""
        payload = self.member(shard, block, name, verify=verify)
        return np.frombuffer(payload, np.dtype(dtype).newbyteorder("<"))

    def words(self, shard: int) -> NDArray[np.int32]:
        """The whole tar as int32 words, unchecked; payloads begin at multiples of 512 bytes."""
        return np.frombuffer(self._map(shard), "<i4")

    def release(self) -> None:
        """Give back the pages of all maps, which count as this process's memory; what is read again is mapped again."""
        for mapped in self._maps.values():
            mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self, number: int) -> mmap.mmap:
        if number in self._maps:
            self._maps.move_to_end(number)
            return self._maps[number]
        path, expected = self.folder / self.index.shards[number].name, self.shard(number).num_bytes
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing though {self.folder}/shards.json lists it; restore it or rebuild the folder"
            )
        with path.open("rb") as file:
            size = path.stat().st_size
            if size != expected:
                raise ValueError(
                    f"{path}: {size} bytes where its index states {expected}; truncated or swapped, restore it"
                )
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        last = self.shard(number).end
        if not is_zero(memoryview(mapped)[last:]):
            raise ValueError(f"{path}: the end mark at byte {last} is not zero, the file is damaged; restore it")
        self._maps[number] = mapped
        if len(self._maps) > self._open_limit:
            self._maps.popitem(last=False)  # closed when its last view is gone
        return mapped
