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
import zipfile
import zlib
from collections.abc import Iterable
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

    def read(self, key: str, layer: int | None = None) -> Tensor:
        """One tensor, or one layer of it; ValueError names a chunk that is damaged, misplaced or absent."""
        stored = self._tensors[key]
        shape = stored.size if layer is None else stored.size[1:]
        whole, filled = None, 0
        for chunk in stored.chunks:
            start, size = list(chunk.offsets), list(chunk.sizes)
            if layer is not None and not start[0] <= layer < start[0] + size[0]:
                continue
            part = self._read_chunk(key, chunk, dtype=stored.properties.dtype)
            if layer is not None:
                part, start, size = part[layer - start[0]], start[1:], size[1:]
            if tuple(size) == tuple(shape):
                return part
            if any(a + b > limit for a, b, limit in zip(start, size, shape, strict=True)):
                raise ValueError(f"{self._folder}: a chunk of {key} lies outside it; go on from an earlier checkpoint")
            whole = torch.empty(shape, dtype=part.dtype) if whole is None else whole
            whole[tuple(slice(a, a + b) for a, b in zip(start, size, strict=True))] = part
            filled += part.numel()
        if whole is None or filled != whole.numel():
            raise ValueError(f"{self._folder}: tensor {key} lacks a chunk; go on from an earlier checkpoint")
        return whole

    def _read_chunk(self, key: str, chunk: ChunkStorageMetadata, *, dtype: torch.dtype) -> Tensor:
        place = self._places.get(MetadataIndex(key, chunk.offsets))
        if place is None:
            raise ValueError(f"{self._folder}: tensor {key} lacks a chunk; go on from an earlier checkpoint")
        path = self._folder / place.relative_path
        damaged = ValueError(f"{path}: a chunk of {key} is damaged; go on from an earlier checkpoint")
        with path.open("rb", buffering=0) as file:
            view = _Slice(file.fileno(), place.offset, place.length)
            try:
                tensor = torch.load(view, map_location="cpu", weights_only=True)  # type: ignore[arg-type]
                with zipfile.ZipFile(view) as archive:
                    sums = [each.CRC for each in archive.infolist() if each.filename.endswith("/data/0")]
            except (RuntimeError, UnpicklingError, zipfile.BadZipFile, EOFError, ValueError) as error:
                raise damaged from error
        memory = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
        if tensor.shape != chunk.sizes or tensor.dtype != dtype or sums != [zlib.crc32(as_bytes(memory))]:
            raise damaged
        return tensor


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
        file.flush()
        os.fsync(file.fileno())
    FileSystemWriter(folder).finish(Metadata(dict(stored)), [written])
    torch.save({}, folder / "common.pt")
    (folder / "metadata.json").write_text(json.dumps(_FORMAT))


def as_bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, not copied."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


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
