"""Weights of a checkpoint folder, tensor by tensor, without a model, a process group or megatron-core.

A checkpoint is megatron-core's ``torch_dist`` format: an index (`checkpoint/index.py`) says of which chunks a global
tensor consists and in which file, at which byte, each of them was saved. Matrices of all layers are one tensor with the
layer as first dimension. Whatever layout wrote the chunks, reading puts one tensor together; what is written here are
whole tensors, which every layout reads. Optimizer state lies in the same files and is never touched.

Damage: the chunks that are read are held against the CRC-32 that torch stored with them. Price: a tensor cut over
tensor parallel ranks is in memory together with one of its chunks.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from megatron_speech.checkpoint.index import read_index

FILE = "__0_0.distcp"
# What lies in a checkpoint beside the model's weights.
_NOT_WEIGHTS = ("optimizer.", "generators.")
_BLOCK_BYTES = 1 << 20
_UNREADABLE = (RuntimeError, UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, AttributeError, struct.error)
# megatron-core's notes about the format: checked when it loads, and its place for what is no tensor.
_FORMAT = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}


class WeightsReader:
    """The weights in a checkpoint folder."""

    def __init__(self, folder: Path) -> None:
        index = read_index(folder)
        self._folder = folder
        self._places: dict[MetadataIndex, _StorageInfo] = index.storage_data
        self._tensors = {
            key: stored
            for key, stored in index.state_dict_metadata.items()
            if isinstance(stored, TensorStorageMetadata) and not key.startswith(_NOT_WEIGHTS)
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every global tensor by its key; the layer comes first where all layers are one tensor."""
        return {key: tuple(stored.size) for key, stored in self._tensors.items()}

    def size(self, key: str, layer: int | None = None) -> int:
        """Bytes of what `read` gives."""
        stored = self._tensors[key]
        shape = stored.size if layer is None else stored.size[1:]
        return shape.numel() * stored.properties.dtype.itemsize

    def read(self, key: str, layer: int | None = None, *, memory: Tensor | None = None) -> Tensor:
        """One tensor, or one layer of it; ValueError names a chunk that is damaged, misplaced or absent.

        memory: uint8, large enough, to put the tensor into: fresh memory costs as much time as reading.
        """
        stored = self._tensors[key]
        shape = stored.size if layer is None else stored.size[1:]
        dtype = stored.properties.dtype
        size = self.size(key, layer)
        if memory is None:
            memory = torch.empty(size, dtype=torch.uint8)
        tensor = memory[:size].view(dtype).view(shape)
        filled = 0
        for chunk in stored.chunks:
            box = [slice(start, start + size) for start, size in zip(chunk.offsets, chunk.sizes, strict=True)]
            if layer is not None:
                if box[0] != slice(layer, layer + 1):
                    continue
                box = box[1:]
            if any(side.start < 0 or side.stop > limit for side, limit in zip(box, shape, strict=True)):
                raise ValueError(f"{self._folder}: a chunk of {key} lies outside it; go on from an earlier checkpoint")
            self._read_chunk(key, chunk, tensor[tuple(box)])
            filled += chunk.sizes.numel()
        if filled != tensor.numel():
            raise ValueError(f"{self._folder}: tensor {key} lacks a chunk; go on from an earlier checkpoint")
        return tensor

    def _read_chunk(self, key: str, chunk: ChunkStorageMetadata, target: Tensor) -> None:
        """Fill `target`, which may be a slice of a larger tensor."""
        place = self._places.get(MetadataIndex(key, chunk.offsets))
        if place is None:
            raise ValueError(f"{self._folder}: tensor {key} lacks a chunk; go on from an earlier checkpoint")
        path = self._folder / place.relative_path
        damaged = ValueError(f"{path}: a chunk of {key} is damaged; go on from an earlier checkpoint")
        memory = target if target.is_contiguous() else torch.empty(target.shape, dtype=target.dtype)
        with path.open("rb", buffering=0) as file:
            view = _Slice(file.fileno(), place.offset, place.length)
            try:
                # What was saved, without its bytes: they are read below, into memory that is there.
                saved = torch.load(view, map_location="meta", weights_only=True)  # type: ignore[arg-type]
                fits = (saved.shape, saved.dtype, saved.is_contiguous()) == (chunk.sizes, target.dtype, True)
                record = _record(view)
            except _UNREADABLE as error:
                raise damaged from error
            if not fits or record.size != memory.nbytes or _read(view, record.start, as_bytes(memory)) != record.crc:
                raise damaged
        if memory is not target:
            target.copy_(memory)


def write_weights(folder: Path, tensors: Iterable[tuple[str, int | None, Tensor]], *, num_layers: int) -> None:
    """Write (key, layer or None, tensor) one by one as they come, each whole: what every layout can read.

    The caller adds the facts and checksums of `checkpoint/folder.py`.
    """
    stored: dict[str, TensorStorageMetadata] = {}
    written: list[WriteResult] = []
    with (folder / FILE).open("wb") as file:
        for key, layer, tensor in tensors:
            chunk = tensor if layer is None else tensor[None]
            if chunk.untyped_storage().nbytes() != chunk.nbytes:
                chunk = chunk.clone()  # torch would save all of the memory behind a slice
            shape, start = list(chunk.shape), [0] * chunk.dim()
            if layer is not None:
                shape[0], start[0] = num_layers, layer
            new = TensorStorageMetadata(TensorProperties(dtype=chunk.dtype), torch.Size(shape), [])
            stored.setdefault(key, new).chunks.append(ChunkStorageMetadata(torch.Size(start), chunk.shape))
            begin = file.tell()
            torch.save(chunk, file)
            place = _StorageInfo(FILE, begin, file.tell() - begin)
            written.append(WriteResult(MetadataIndex(key, start), place.length, place))
            del tensor, chunk  # before the next one is made
        file.flush()
        os.fsync(file.fileno())
    FileSystemWriter(folder).finish(Metadata(dict(stored)), [written])
    torch.save({}, folder / "common.pt")
    (folder / "metadata.json").write_text(json.dumps(_FORMAT))


def as_bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, not copied."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


@dataclass(frozen=True)
class _Record:
    """Where the bytes of a saved tensor lie in the archive that `torch.save` makes, and their sum."""

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


def _read(view: _Slice, start: int, memory: memoryview) -> int:
    """Fill `memory` from `start` on and return its CRC-32, taken while a block is still in the processor's cache."""
    view.seek(start)
    crc = 0
    for begin in range(0, len(memory), _BLOCK_BYTES):
        block = memory[begin : begin + _BLOCK_BYTES]
        view.readinto(block)
        crc = zlib.crc32(block, crc)
    return crc


class _Slice(io.RawIOBase):
    """A part of an open file as a file of its own."""

    def __init__(self, handle: int, start: int, length: int) -> None:
        self._handle, self._start, self._length, self._at = handle, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        room, begin = memoryview(buffer)[: max(0, self._length - self._at)], self._at
        while room and (count := os.preadv(self._handle, [room], self._start + self._at)):  # one call: 2 GB at most
            room = room[count:]
            self._at += count
        return self._at - begin
