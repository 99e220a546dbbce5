"""Local files, memory-mapped or read by offset; the 256 most recently used stay open.

A memory map is the fastest way to read bytes of the page cache and needs no copy. But on a parallel file system, a
page that cannot be read is a bus error, which kills the process. Reading by offset raises an error instead, which can
be retried.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from megatron_speech.storage.retry import Retry

OPEN_FILES = 256


class _Openable(Protocol):
    def __init__(self, path: str) -> None: ...


File = TypeVar("File", bound=_Openable)


class Mapped:
    """Storage of memory-mapped files."""

    def __init__(self, *, open_files: int = OPEN_FILES) -> None:
        self._files = _OpenFiles(_Map, open_files)

    def size(self, path: str) -> int:
        """Size of the file in bytes."""
        return len(self._files.get(path).view)

    def read(self, path: str, start: int, size: int) -> memoryview:
        """A view into the map, which it keeps alive; raises EOFError if the file is too short."""
        view = self._files.get(path).view[start : start + size]
        return view if len(view) == size else _whole(view, path, start, size)

    def release(self) -> None:
        """Release the pages of all maps, which count as memory of this process."""
        for file in self._files.all():
            file.release()


class Positioned:
    """Storage of files that are read by offset (pread), with retries."""

    def __init__(self, retry: Retry, *, open_files: int = OPEN_FILES) -> None:
        self._retry = retry
        self._files = _OpenFiles(_Descriptor, open_files)

    def size(self, path: str) -> int:
        """Size of the file in bytes."""
        return self._retry(lambda: os.fstat(self._files.get(path).number).st_size, what=path)

    def read(self, path: str, start: int, size: int) -> bytes:
        """A copy of the bytes; raises EOFError if the file is too short, OSError if all attempts fail."""
        return self._retry(lambda: self._read(path, start, size), what=f"{path}: bytes {start} to {start + size}")

    def release(self) -> None:
        """Do nothing: no memory is held."""

    def _read(self, path: str, start: int, size: int) -> bytes:
        file = self._files.get(path)
        parts: list[bytes] = []
        left = size
        try:
            while left and (part := os.pread(file.number, left, start + size - left)):  # one call returns at most 2 GiB
                parts.append(part)
                left -= len(part)
        except OSError:
            self._files.forget(path)  # after a server failure the file has to be opened again
            raise
        return _whole(parts[0] if len(parts) == 1 else b"".join(parts), path, start, size)


Bytes = TypeVar("Bytes", memoryview, bytes)


def _whole(found: Bytes, path: str, start: int, size: int) -> Bytes:
    if len(found) != size:
        raise EOFError(f"{path}: {len(found)} of {size} bytes at byte {start}, the file ends before; restore it")
    return found


class _OpenFiles(Generic[File]):
    """Cache of open files; an evicted file closes when its last reader drops it."""

    def __init__(self, kind: type[File], limit: int) -> None:
        self._kind, self._limit = kind, limit
        self._files: OrderedDict[str, File] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> File:
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                if len(self._files) == self._limit:  # the order of use matters only when the cache is full
                    self._files.move_to_end(path)
                return file
            while len(self._files) >= self._limit:
                self._files.popitem(last=False)
            return self._files.setdefault(path, self._kind(path))

    def forget(self, path: str) -> None:
        with self._lock:
            self._files.pop(path, None)

    def all(self) -> list[File]:
        """All open files."""
        with self._lock:
            return list(self._files.values())


class _Map:
    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            empty = os.fstat(file.fileno()).st_size == 0  # cannot be mapped
            self._map = None if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.view = memoryview(b"" if self._map is None else self._map)

    def release(self) -> None:
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class _Descriptor:
    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)
