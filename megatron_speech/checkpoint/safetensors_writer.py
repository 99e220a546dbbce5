"""Writes safetensors files in one pass: first the header, from the shapes alone, then one tensor after the other.

A file is a length, a JSON header with byte ranges, and the bytes. No tensor is in memory as a whole: its rows are read
into the buffers that are written to the disk. A file is on the disk, and gets its name, before the next one begins.
Large models are split over several files with an index, as transformers and vLLM read them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from megatron_speech.artifacts.facts.checkpoint import FileFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.checkpoint.direct_file import DirectFile, open_direct
from megatron_speech.checkpoint.hf_mapping import Shape
from megatron_speech.checkpoint.hf_weights import INDEX, SINGLE

_FORMATS = {torch.float32: "F32", torch.bfloat16: "BF16"}


class Rows(Protocol):
    """A tensor that is read in blocks of rows."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers as they are read."""

    def read(self, first: int, end: int, out: Tensor) -> None:
        """Read rows `first` to `end` (exclusive) into `out`."""


def write_safetensors(
    folder: Path,
    tensors: Iterable[tuple[str, Rows, Sequence[tuple[int, int]]]],
    *,
    shapes: Mapping[str, Shape],
    dtype: torch.dtype,
    max_bytes: int,
) -> dict[str, FileFacts]:
    """Write all `tensors`, in the order of `shapes`, to files of at most `max_bytes` (but at least one tensor each).

    Args:
        tensors: (name, where to read, row ranges (first, end)); the ranges are written one after the other.
        shapes: shape of every tensor by name.
        dtype: number format in the files.
        max_bytes: size of the tensors in one file.

    Returns:
        Size and xxh3-128 of every file, by name.
    """
    shards = _shards(shapes, dtype=dtype, max_bytes=max_bytes)
    coming = iter(tensors)
    sums = {}
    for file_name, names in shards.items():
        # Header and tensors, under a temporary name.
        header = _header({name: shapes[name] for name in names}, dtype=dtype)
        draft = folder / f"{file_name}.tmp"
        with open_direct(draft) as file:
            file.write(torch.frombuffer(bytearray(header), dtype=torch.uint8), torch.uint8)
            for name in names:
                got, rows, ranges = next(coming)
                assert got == name, f"{got} arrived where {name} was due"
                for first, end in ranges:
                    _copy(file, rows, first, end, row_shape=shapes[name][1:], dtype=dtype)
            sums[file_name] = FileFacts(bytes=file.size, xxh3=file.finish())
        # Check the size against the header, then give the file its name.
        announced = len(header) + sum(math.prod(shapes[name]) for name in names) * dtype.itemsize
        assert file.size == announced, f"{file_name}: {file.size} bytes written, {announced} announced"
        draft.replace(folder / file_name)
    # Several files need an index.
    if len(shards) > 1:
        total = sum(math.prod(shape) for shape in shapes.values()) * dtype.itemsize
        weight_map = {name: file_name for file_name, names in shards.items() for name in names}
        write_atomic(folder / INDEX, to_json({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1))
    return sums


def _copy(file: DirectFile, rows: Rows, first: int, end: int, *, row_shape: Shape, dtype: torch.dtype) -> None:
    """Append rows `first` to `end`; read directly into the file's buffer if no row is converted or cut."""
    row_bytes = math.prod(row_shape) * dtype.itemsize
    while first < end:
        fitting = min(end - first, file.room // row_bytes)
        count = max(1, fitting)
        if fitting and rows.dtype == dtype:
            rows.read(first, first + count, file.take(count * row_bytes).view(dtype).view(count, *row_shape))
        else:
            block = torch.empty(count, *row_shape, dtype=rows.dtype)
            rows.read(first, first + count, block)
            file.write(block, dtype)
        first += count


def _shards(shapes: Mapping[str, Shape], *, dtype: torch.dtype, max_bytes: int) -> dict[str, list[str]]:
    """File names, and the tensors of each, in order."""
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


def _header(shapes: Mapping[str, Shape], *, dtype: torch.dtype) -> bytes:
    """Header of a file: its length, then JSON with dtype, shape and byte range of each tensor."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _FORMATS[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = to_json(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text
