"""Reads blocks of a folder of shards by offset, in any order, and checks them.

Reading never parses the tar: the sidecar gives the offsets, and `storage` reads the bytes wherever the folder is. Data
is checked against its checksum before it is returned. Damage raises its own kind of error, which names file, block and
byte: a training run may continue without that block, a tool may not.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from megatron_speech.data.shards.damage import against_manifest
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.data.shards.sidecar import Kind, Member, ShardIndex, sidecar
from megatron_speech.data.shards.tar_blocks import is_zero
from megatron_speech.storage.local import Mapped
from megatron_speech.storage.place import Places
from megatron_speech.vocabulary import Vocabulary


class DamagedError(ValueError):
    """Bytes of a shard differ from those that were written; names file, block, byte and member."""

    def __init__(self, file: str, *, block: int, byte: int, what: str) -> None:
        super().__init__(
            f"{file}: block {block}, {what} at byte {byte}: checksum differs, the file is damaged; restore it or "
            "make the folder again"
        )
        self.file, self.block, self.byte, self.what = file, block, byte, what


class BlockFolder:
    """Random access to the blocks of a finished folder, checked; safe for several threads.

    Raises:
        FileNotFoundError: the folder holds no finished shards.
        ValueError: it holds another kind or vocabulary, or its manifest is of other shards.
    """

    def __init__(
        self, folder: Path, *, kind: Kind, vocabulary: Vocabulary | None = None, places: Places | None = None
    ) -> None:
        self.folder = folder
        self.index = FolderIndex.load(folder)
        if self.index.kind != kind:
            raise ValueError(
                f"{folder}: holds {self.index.kind} where {kind} are needed; point at the folder of the right stage"
            )
        if vocabulary is not None:
            vocabulary.require(self.index.vocabulary, holder=str(folder))
        if damage := against_manifest(folder, self.index):
            raise ValueError(f"{damage}; restore what was replaced")
        self._place = (places or Places()).of(folder)
        self._shards: dict[int, ShardIndex] = {}
        self._files = [self._place.path(shard.name) for shard in self.index.shards]
        self._whole: set[int] = set()
        self._lock = threading.Lock()

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary that the folder was written with."""
        vocabulary = Vocabulary.load(self.folder / "vocabulary.json")
        vocabulary.require(self.index.vocabulary, holder=f"{self.folder}/shards.json")
        return vocabulary

    def shard(self, number: int) -> ShardIndex:
        """Sidecar of a shard; mapped and checked on first use."""
        found = self._shards.get(number)
        if found is not None:
            return found
        with self._lock:
            if number not in self._shards:
                self._shards[number] = self._load_sidecar(number)
            return self._shards[number]

    def file(self, shard: int) -> str:
        """Path or URL of a shard."""
        return self._files[shard]

    def place(self, shard: int, block: int, name: str) -> Member:
        """Offset, size and checksum of a member in its shard."""
        return self.shard(shard).member(block, name)

    def member(self, shard: int, block: int, name: str) -> memoryview:
        """Checked payload of one member, possibly a view of a memory map.

        Raises DamagedError naming file, block and byte, and what `read` raises.
        """
        return self.members(shard, block, [name])[name]

    def members(self, shard: int, block: int, names: list[str]) -> dict[str, memoryview]:
        """Like `member`, for several adjacent members in one read, including what lies between them."""
        entries = {name: self.place(shard, block, name) for name in names}
        first = min(entry.span[0] for entry in entries.values())
        last = max(entry.span[1] for entry in entries.values())
        data = memoryview(self.read(shard, block, first, last - first))
        for name, entry in entries.items():
            _check(data[entry.span[0] - first :], entry, self.file(shard), block, name)
        return {name: data[entry.offset - first : entry.offset - first + entry.size] for name, entry in entries.items()}

    def array(self, shard: int, block: int, name: str, *, dtype: type = np.int32) -> NDArray[Any]:
        """Like `member`, as a read-only array of little-endian `dtype`."""
        return np.frombuffer(self.member(shard, block, name), np.dtype(dtype).newbyteorder("<"))

    def read(self, shard: int, block: int, start: int, size: int) -> memoryview | bytes:
        """Read bytes `start` .. `start + size` of the shard, all within `block`; unchecked.

        Raises:
            FileNotFoundError, ValueError: the shard is missing, or differs from the index in size or end.
            OSError: it could not be read.
        """
        self.require_whole(shard)
        if self._place.cache is None:
            return self._place.storage.read(self._files[shard], start, size)
        first = self._span(shard, block)[0]
        return self._place.cache.read(
            self._key(shard, block), start - first, size, make=lambda: self._fetch(shard, block)
        )

    def window(self, shard: int, block: int, name: str) -> memoryview | None:
        """Payload of a member as an unchecked view of the mapped file; None if files are not mapped."""
        if self._place.cache is not None or not isinstance(self._place.storage, Mapped):
            return None
        entry = self.place(shard, block, name)
        return memoryview(self.read(shard, block, entry.offset, entry.size))

    def forget(self, shard: int, block: int) -> None:
        """Remove a damaged block from the cache, if there is one, so that the next read fetches it again."""
        if self._place.cache is not None:
            self._place.cache.forget(self._key(shard, block))

    def words(self, shard: int) -> NDArray[np.int32]:
        """The whole tar as int32 words, unchecked; payloads begin at multiples of 512 bytes."""
        self.require_whole(shard)
        return np.frombuffer(self._place.storage.read(self.file(shard), 0, self.shard(shard).num_bytes), "<i4")

    def release(self) -> None:
        """Return the memory of mapped pages; views stay valid and reload their pages on access."""
        self._place.storage.release()

    def _load_sidecar(self, number: int) -> ShardIndex:
        path = sidecar(self.folder, self.index.shards[number].name)
        self._place.bring(path)
        try:
            return self.index.shard(self.folder, number)
        except ValueError:
            if not self._place.bring_again(path):
                raise
            return self.index.shard(self.folder, number)

    def require_whole(self, number: int) -> None:
        """Check, at the first use of a shard, that it exists, has the right size and ends in zeros.

        Raises:
            FileNotFoundError, ValueError: it does not; the shard is named.
        """
        if number in self._whole:
            return
        path, index = self.file(number), self.shard(number)
        try:
            size = self._place.storage.size(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{path} is missing though {self._place.base}/shards.json lists it; restore it or rebuild the folder"
            ) from error
        if size != index.num_bytes:
            raise ValueError(
                f"{path}: {size} bytes where its index states {index.num_bytes}; truncated or swapped, restore it"
            )
        last = index.end
        if not is_zero(memoryview(self._place.storage.read(path, last, size - last))):
            raise ValueError(f"{path}: the end mark at byte {last} is not zero, the file is damaged; restore it")
        self._whole.add(number)

    def _span(self, shard: int, block: int) -> tuple[int, int]:
        """First byte of a block, and first byte after it."""
        index = self.shard(shard)
        return index.member(block, index.names[0]).span[0], index.member(block, index.names[-1]).span[1]

    def _key(self, shard: int, block: int) -> str:
        """Cache key of a block's content, wherever it is stored: a sidecar's checksum identifies its shard's bytes."""
        return f"{self.index.shards[shard].checksum}-{block:06d}"

    def _fetch(self, shard: int, block: int) -> bytes:
        """Read a whole block of a remote shard, and check it before it enters the cache."""
        first, last = self._span(shard, block)
        data = bytes(self._place.storage.read(self.file(shard), first, last - first))
        for name in self.shard(shard).names:
            entry = self.place(shard, block, name)
            _check(memoryview(data)[entry.span[0] - first :], entry, self.file(shard), block, name)
        return data


def _check(data: memoryview, entry: Member, file: str, block: int, name: str) -> None:
    """Raise DamagedError unless the member at the start of `data` (header and padding included) has its checksum."""
    start, end = entry.span
    if xxhash.xxh3_64_intdigest(data[: end - start]) != entry.checksum:
        raise DamagedError(file, block=block, byte=entry.offset, what=name)
