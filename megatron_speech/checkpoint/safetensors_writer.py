"""Safetensors files written in one pass: header first, from shapes alone, then tensor after tensor as they arrive.

The format asks for nothing more: a length, a JSON header of byte ranges, the bytes. Knowing all shapes beforehand, no
tensor has to wait for another one, and no more than the piece at hand is in memory. Writes are large and in order;
every file is on the disk before its successor begins, and gets its name only then. Many tensors are split over several
files with an index, in the form that transformers and vLLM read.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from megatron_speech.artifact import write_atomic
from megatron_speech.checkpoint.hf_mapping import Shape
from megatron_speech.checkpoint.hf_weights import INDEX, SINGLE
from megatron_speech.checkpoint.weights import as_bytes

_FORMATS = {torch.float32: "F32", torch.bfloat16: "BF16"}
_BLOCK_BYTES = 1 << 24  # converted and handed to the operating system at once


def write_safetensors(
    folder: Path,
    tensors: Iterable[tuple[str, Sequence[Tensor]]],
    *,
    shapes: Mapping[str, Shape],
    dtype: torch.dtype,
    max_bytes: int,
) -> dict[str, dict[str, Any]]:
    """Write all `tensors`, in the order of `shapes`, to files of at most `max_bytes` (but at least one tensor each).

    Args:
        tensors: name and the pieces that make it, one below the other.

    Returns:
        Size and xxh3-128 of every file, by name.
    """
    shards = _shards(shapes, dtype=dtype, max_bytes=max_bytes)
    coming = iter(tensors)
    sums = {}
    for file_name, names in shards.items():
        with _open(folder / file_name, {name: shapes[name] for name in names}, dtype=dtype) as file:
            for name in names:
                got, pieces = next(coming)
                assert got == name, f"{got} arrived where {name} was due"
                file.write(pieces)
                del pieces  # before the next one is asked for
        sums[file_name] = {"bytes": file.size, "xxh3": file.digest.hexdigest()}
    if len(shards) > 1:
        total = sum(math.prod(shape) for shape in shapes.values()) * dtype.itemsize
        weight_map = {name: file_name for file_name, names in shards.items() for name in names}
        write_atomic(
            folder / INDEX, json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1)
        )
    return sums


def _shards(shapes: Mapping[str, Shape], *, dtype: torch.dtype, max_bytes: int) -> dict[str, list[str]]:
    """File names and the tensors in each, filled in order."""
    shards: list[list[str]] = []
    room = -1
    for name, shape in shapes.items():
        size = math.prod(shape) * dtype.itemsize
        if size > room:
            shards.append([])
            room = max_bytes
        shards[-1].append(name)
        room -= size
    if len(shards) == 1:
        return {SINGLE: shards[0]}
    stem = SINGLE.removesuffix(".safetensors")
    count = len(shards)
    return {f"{stem}-{number:05d}-of-{count:05d}.safetensors": names for number, names in enumerate(shards, 1)}


@dataclass
class _File:
    """One file while it is written."""

    raw: FileIO
    dtype: torch.dtype
    digest: Any
    size: int = 0

    def write(self, pieces: Sequence[Tensor]) -> None:
        """Append one tensor."""
        for piece in pieces:
            rows = max(1, _BLOCK_BYTES // (piece[:1].numel() * self.dtype.itemsize))
            for block in piece.split(rows):
                self.write_bytes(as_bytes(block.to(self.dtype).contiguous()))

    def write_bytes(self, block: memoryview) -> None:
        """Append bytes."""
        self.digest.update(block)
        self.size += len(block)
        while block:
            block = block[self.raw.write(block) :]


@contextmanager
def _open(path: Path, shapes: Mapping[str, Shape], *, dtype: torch.dtype) -> Iterator[_File]:
    """A file with its header; complete, on the disk and under its name when the block ends well."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _FORMATS[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb", buffering=0) as raw:
        file = _File(raw, dtype, xxhash.xxh3_128())
        file.write_bytes(memoryview(struct.pack("<Q", len(text)) + text))
        yield file
        assert file.size == 8 + len(text) + end, f"{path.name}: {file.size} bytes, {8 + len(text) + end} announced"
        os.fsync(raw.fileno())
    draft.replace(path)
