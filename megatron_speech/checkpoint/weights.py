"""Reads the weights of a checkpoint folder by rows, without a model, a process group or megatron-core.

A checkpoint has megatron-core's ``torch_dist`` format. Its index (`checkpoint/index.py`) lists the chunks of each
global tensor, with file and byte offset. The matrices of all layers are one tensor with the layer as first dimension.
Rows are assembled from chunks of any layout. Optimizer state, in the same files, is never read.

Damage is found by the CRC-32 that torch stores with every chunk, before the chunk is used. Cost: those bytes are read
twice, the second time from the page cache.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorStorageMetadata,
)

from megatron_speech.checkpoint.checksums import mend
from megatron_speech.checkpoint.index import read_index

if TYPE_CHECKING:
    from megatron_speech.platform.private_names import StorageInfo

# Key prefixes of everything in a checkpoint that is not a weight.
_NOT_WEIGHTS = ("optimizer.", "generators.")
_BLOCK_BYTES = 1 << 20
_UNREADABLE = (RuntimeError, UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, AttributeError, struct.error)


@dataclass(frozen=True)
class _Chunk:
    """A block of a tensor and where its bytes start in a file; rows are contiguous."""

    path: Path
    start: int
    box: tuple[slice, ...]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a checkpoint folder, or one layer of a tensor: checked, and read in blocks of rows."""

    shape: torch.Size
    dtype: torch.dtype
    chunks: tuple[_Chunk, ...]

    def read(self, first: int, end: int, out: Tensor) -> None:
        """Read rows `first` to `end` (exclusive) into `out` [end - first, ...], which has this tensor's dtype."""
        for chunk in self.chunks:
            rows, *others = chunk.box
            begin, stop = max(first, rows.start), min(end, rows.stop)
            if begin >= stop:
                continue
            target = out[(slice(begin - first, stop - first), *others)]
            memory = target if target.is_contiguous() else torch.empty(target.shape, dtype=self.dtype)
            row_bytes = memory.nbytes // (stop - begin)
            with chunk.path.open("rb", buffering=0) as file:
                count = _fill(file.fileno(), _bytes(memory), chunk.start + (begin - rows.start) * row_bytes)
            if count != memory.nbytes:
                raise ValueError(f"{chunk.path} was cut while it was read; export again")
            if memory is not target:
                target.copy_(memory)


class WeightsReader:
    """The weights in a checkpoint folder."""

    def __init__(self, folder: Path) -> None:
        index = read_index(folder)
        self._folder = folder
        self._places: dict[MetadataIndex, StorageInfo] = index.storage_data
        self._tensors = {
            key: stored
            for key, stored in index.state_dict_metadata.items()
            if isinstance(stored, TensorStorageMetadata) and not key.startswith(_NOT_WEIGHTS)
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every global tensor by key; the layer is the first dimension if all layers are one tensor."""
        return {key: tuple(stored.size) for key, stored in self._tensors.items()}

    def open(self, key: str, layer: int | None = None) -> StoredTensor:
        """The tensor `key`, or one `layer` of it; all its bytes are checked.

        Raises ValueError naming a chunk that is damaged, misplaced or missing.
        """
        stored = self._tensors[key]
        shape = stored.size if layer is None else stored.size[1:]
        chunks, filled = [], 0
        for chunk in stored.chunks:
            box = [slice(start, start + size) for start, size in zip(chunk.offsets, chunk.sizes, strict=True)]
            if layer is not None:
                if box[0] != slice(layer, layer + 1):
                    continue
                box = box[1:]
            if any(side.start < 0 or side.stop > limit for side, limit in zip(box, shape, strict=True)):
                raise ValueError(f"{self._folder}: a chunk of {key} lies outside it; {mend(self._folder)}")
            chunks.append(self._checked(key, chunk, tuple(box), dtype=stored.properties.dtype))
            filled += chunk.sizes.numel()
        if filled != shape.numel():
            raise ValueError(f"{self._folder}: tensor {key} lacks a chunk; {mend(self._folder)}")
        return StoredTensor(shape, stored.properties.dtype, tuple(chunks))

    def _checked(self, key: str, chunk: ChunkStorageMetadata, box: tuple[slice, ...], *, dtype: torch.dtype) -> _Chunk:
        """Find the bytes of `chunk` and check them against their CRC-32; ValueError if they differ."""
        place = self._places.get(MetadataIndex(key, chunk.offsets))
        if place is None:
            raise ValueError(f"{self._folder}: tensor {key} lacks a chunk; {mend(self._folder)}")
        path = self._folder / place.relative_path
        damaged = ValueError(f"{path}: a chunk of {key} is damaged; {mend(self._folder)}")
        with path.open("rb", buffering=0) as file:
            view = _Slice(file.fileno(), place.offset, place.length)
            try:
                # On the meta device torch reads shape and dtype only; the bytes are checked block by block below.
                saved = torch.load(view, map_location="meta", weights_only=True)  # type: ignore[arg-type]  # a stream to read
                fits = (saved.shape, saved.dtype, saved.is_contiguous()) == (chunk.sizes, dtype, True)
                record = _record(view)
            except _UNREADABLE as error:
                raise damaged from error
            start, size = place.offset + record.start, chunk.sizes.numel() * dtype.itemsize
            if not fits or record.size != size or _crc(file.fileno(), start, size) != record.crc:
                raise damaged
        return _Chunk(path, start, box)


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


@dataclass(frozen=True)
class _Record:
    """Where the bytes of a tensor lie in the zip archive that `torch.save` makes, and their CRC-32."""

    start: int
    size: int
    crc: int


def _record(view: _Slice) -> _Record:
    with zipfile.ZipFile(view) as archive:
        (entry,) = (each for each in archive.infolist() if each.filename.endswith("/data/0"))
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("torch.save compresses nothing")
    header = bytearray(30)
    view.seek(entry.header_offset)
    view.readinto(memoryview(header))
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    return _Record(entry.header_offset + len(header) + name_length + extra_length, entry.file_size, entry.CRC)


def _crc(handle: int, start: int, size: int) -> int:
    """CRC-32 of `size` bytes of a file from `start` on, in blocks that fit the processor's cache."""
    block, crc = memoryview(bytearray(_BLOCK_BYTES)), 0
    for begin in range(0, size, _BLOCK_BYTES):
        part = block[: size - begin]
        _fill(handle, part, start + begin)
        crc = zlib.crc32(part, crc)
    return crc


def _fill(handle: int, memory: memoryview, start: int) -> int:
    """Read from `start` on until `memory` is full or the file ends; returns the number of bytes.

    One system call reads 2 GB at most, hence the loop.
    """
    filled = 0
    while filled < len(memory) and (count := os.preadv(handle, [memory[filled:]], start + filled)):
        filled += count
    return filled


class _Slice(io.RawIOBase):
    """File object over a part of an open file."""

    def __init__(self, handle: int, start: int, length: int) -> None:
        self._handle, self._start, self._length, self._at = handle, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # torch passes a memoryview
        room = memoryview(buffer)[: max(0, self._length - self._at)]
        count = _fill(self._handle, room, self._start + self._at)
        self._at += count
        return count
