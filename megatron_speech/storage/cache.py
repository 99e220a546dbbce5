"""Cache of remote shard blocks on a local disk, shared by the ranks of a node and by later runs.

The unit is a block (4 MiB), which the checksums in the sidecar can verify on its own. With whole shards (1 GiB), the
first row would wait for thousands of others. With rows (32 KiB), every row would be a file and a request. Training
reads from only a few blocks at a time, so a block fetched for one row serves the next ones.

    <cache>/blocks/<two letters>/<key>   <cache>/usage

A block is written to a ``.tmp`` file and renamed, so a killed process leaves at worst a ``.tmp``, which a later
eviction removes. ``usage`` holds the number of bytes and is updated under a file lock before the rename. So after a
kill it is too large, never too small. Every eviction counts again and removes the least recently used blocks first.

Cost: two ranks that miss the same block at the same time both fetch it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from megatron_speech.storage.read_stats import ReadStats

KEEP = 0.9
"""Share of the limit that an eviction leaves, so that not every new block causes one."""
STALE_S = 3600.0
"""Age in seconds from which a ``.tmp`` counts as left by a killed process."""


class BlockCache:
    """Read-through cache of files by key; safe for several threads and processes."""

    def __init__(self, folder: Path, *, limit: int, stats: ReadStats) -> None:
        self._folder, self._limit, self._stats = folder, limit, stats
        (folder / "blocks").mkdir(parents=True, exist_ok=True)

    def read(self, key: str, start: int, size: int, make: Callable[[], bytes]) -> bytes:
        """Bytes `start` .. `start + size` of the block `key`; `make` fetches and checks a missing block."""
        path = self._path(key)
        try:
            with path.open("rb", buffering=0) as file:
                found = os.pread(file.fileno(), size, start)
                os.utime(file.fileno())
        except FileNotFoundError:
            found = b""
        if len(found) == size:  # otherwise missing, or truncated by a power failure
            self._stats.add(cache_hits=1)
            return found
        self._stats.add(cache_misses=1)
        whole = make()
        self._store(path, whole)
        return whole[start : start + size]

    def forget(self, key: str) -> None:
        """Remove a damaged block."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / "blocks" / key[:2] / key

    def _store(self, path: Path, content: bytes) -> None:
        if len(content) > self._limit:
            return
        self._make_room(len(content))
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        temporary.write_bytes(content)
        temporary.replace(path)

    def _make_room(self, size: int) -> None:
        """Add `size` bytes to ``usage`` before they are stored; evict blocks if the limit is exceeded."""
        with self._locked_usage() as usage:
            used = _number(usage) + size
            if used > self._limit:
                used = self._evict(int(self._limit * KEEP) - size) + size
            os.pwrite(usage, f"{used:020d}".encode(), 0)

    def _evict(self, goal: int) -> int:
        """Remove the least recently used blocks until at most `goal` bytes are left; return the bytes left."""
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= goal:
                break
            path.unlink(missing_ok=True)
            used -= size
        return used

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, bytes, path) of every block; removes stale ``.tmp`` files."""
        for path in (self._folder / "blocks").glob("*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # removed by another process
                continue
            if path.suffix != ".tmp":
                yield stat.st_mtime, stat.st_size, path
            elif time.time() - stat.st_mtime > STALE_S:
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked_usage(self) -> Iterator[int]:
        """Descriptor of the ``usage`` file, locked against other threads and processes."""
        usage = os.open(self._folder / "usage", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(usage, fcntl.LOCK_EX)
            yield usage
        finally:
            os.close(usage)  # unlocks


def _number(usage: int) -> int:
    digits = os.pread(usage, 20, 0)
    return int(digits) if len(digits) == 20 and digits.isdigit() else 0
