"""Writes a large file once, from front to end, bypassing the operating system's page cache (O_DIRECT).

The cache would copy every byte once more and displace what else the machine has cached; that takes longer than the disk
does. Here bytes are gathered in two aligned buffers: while one is written to the disk, the other is filled.

Cost: the next reader finds nothing in the cache. On file systems without direct writing (some tmpfs), the same code
writes through the cache.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
import xxhash
from torch import Tensor

from megatron_speech.artifacts.files import naming_file

_BUFFER_BYTES = 1 << 22
_ALIGNMENT = 4096  # direct writing needs addresses and lengths that are multiples of it


class DirectFile:
    """Bytes and tensors appended to a new file; see `open_direct`."""

    def __init__(self, handle: int, thread: ThreadPoolExecutor) -> None:
        self.size = 0
        self._handle, self._thread = handle, thread
        self._digest = xxhash.xxh3_128()
        self._buffers = [torch.frombuffer(mmap.mmap(-1, _BUFFER_BYTES), dtype=torch.uint8) for _ in range(2)]
        self._pending: list[Future[None] | None] = [None, None]
        self._current = self._filled = 0

    @property
    def room(self) -> int:
        """Largest `count` that `take` accepts now; never 0."""
        if self._filled == _BUFFER_BYTES:
            self._flush()
        return _BUFFER_BYTES - self._filled

    def take(self, count: int) -> Tensor:
        """Memory of the next `count` bytes of the file, uint8; fill it before the next call of any method."""
        assert count <= self.room
        start, self._filled = self._filled, self._filled + count
        self.size += count
        return self._buffers[self._current][start : self._filled]

    def write(self, tensor: Tensor, dtype: torch.dtype) -> None:
        """Append a contiguous tensor, converted to `dtype`."""
        values = tensor.reshape(-1)
        while len(values):
            part = values[: self.room // dtype.itemsize]
            self.take(len(part) * dtype.itemsize).view(dtype).copy_(part)
            values = values[len(part) :]

    def finish(self) -> str:
        """Put everything on the disk and return the xxh3-128 of the file."""
        if self._filled:
            self._flush()
        for pending in self._pending:
            if pending is not None:
                pending.result()
        os.ftruncate(self._handle, self.size)  # the last write was padded to the alignment
        os.fsync(self._handle)
        return self._digest.hexdigest()

    def _flush(self) -> None:
        """Start writing the current buffer and switch to the other one, once its own write is done."""
        buffer, count = self._buffers[self._current], self._filled
        self._pending[self._current] = self._thread.submit(self._put, buffer.numpy().data, count)
        self._current, self._filled = 1 - self._current, 0
        if (pending := self._pending[self._current]) is not None:
            pending.result()

    def _put(self, buffer: memoryview, count: int) -> None:
        self._digest.update(buffer[:count])
        block = buffer[: -(-count // _ALIGNMENT) * _ALIGNMENT]
        while block:
            try:
                block = block[os.write(self._handle, block) :]
            except OSError as error:
                # A full disk or a limit cuts a write short, and the rest is no longer aligned. Writing it through the
                # cache succeeds or raises the true error.
                if error.errno != errno.EINVAL or not self._go_through_the_cache():
                    raise

    def _go_through_the_cache(self) -> bool:
        """Turn direct writing off; False if it was off already."""
        flags = fcntl.fcntl(self._handle, fcntl.F_GETFL)
        if not flags & os.O_DIRECT:
            return False
        fcntl.fcntl(self._handle, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        return True


@contextmanager
def open_direct(path: Path) -> Iterator[DirectFile]:
    """Create the file `path` and yield its `DirectFile`; call `finish` before the block ends."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        handle = os.open(path, flags | os.O_DIRECT, 0o644)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        handle = os.open(path, flags, 0o644)
    try:
        with naming_file(path), ThreadPoolExecutor(1) as thread:
            yield DirectFile(handle, thread)
    finally:
        os.close(handle)
