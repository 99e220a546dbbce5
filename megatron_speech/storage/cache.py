"""Blocks of remote shards on a local disk, shared by the ranks of a node and by the runs that follow.

The unit is the block (4 MiB): its members' checksums are in the sidecar, so that it can be checked by itself before it
gets its name; a shard (1 GiB) would let the first row wait for thousands of others, a row (32 KiB) would be one file
and one request for each. The order of training stays within a few blocks for a while, so that a block which was fetched
for one row serves the next ones.

    <cache>/blocks/<two letters>/<key>   <cache>/usage

A file appears under its name when it is complete, so a kill leaves at worst a ``.tmp`` that the next eviction removes.
``usage`` counts bytes under a file lock, before they get their name: a kill makes it too large, never too small, and
every eviction counts anew. The least recently used blocks go first. Price: two ranks that miss the same block at the
same time both fetch it.
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
"""An eviction goes down to this part of the limit, so that not every block evicts one."""
STALE_S = 3600.0
"""A ``.tmp`` this old was left by a kill."""


class BlockCache:
    """Files by key, made where they are missing; for several threads and processes at once."""

    def __init__(self, folder: Path, *, limit: int, stats: ReadStats) -> None:
        self._folder, self._limit, self._stats = folder, limit, stats
        (folder / "blocks").mkdir(parents=True, exist_ok=True)

    def read(self, key: str, start: int, size: int, make: Callable[[], bytes]) -> bytes:
        """Bytes `start` .. `start + size` of the block `key`, which `make` fetches and checks where it is not here."""
        path = self._path(key)
        try:
            with path.open("rb", buffering=0) as file:
                found = os.pread(file.fileno(), size, start)
                os.utime(file.fileno())
        except FileNotFoundError:
            found = b""
        if len(found) == size:  # else missing, or cut short by a power failure
            self._stats.add(cache_hits=1)
            return found
        self._stats.add(cache_misses=1)
        whole = make()
        self._store(path, whole)
        return whole[start : start + size]

    def forget(self, key: str) -> None:
        """Drop a block that turned out to be damaged."""
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
        """Count `size` bytes that are about to be stored, after evicting what they push out."""
        with self._locked_usage() as usage:
            used = _number(usage) + size
            if used > self._limit:
                used = self._evict(int(self._limit * KEEP) - size) + size
            os.pwrite(usage, f"{used:020d}".encode(), 0)

    def _evict(self, goal: int) -> int:
        """Remove the least recently used until `goal` bytes are left; returns how many are."""
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= goal:
                break
            path.unlink(missing_ok=True)
            used -= size
        return used

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, bytes, path) of every block; what a kill left is removed."""
        for path in (self._folder / "blocks").glob("*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another process dropped it
                continue
            if path.suffix != ".tmp":
                yield stat.st_mtime, stat.st_size, path
            elif time.time() - stat.st_mtime > STALE_S:
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked_usage(self) -> Iterator[int]:
        """The file of the count, while no other thread or process has it."""
        usage = os.open(self._folder / "usage", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(usage, fcntl.LOCK_EX)
            yield usage
        finally:
            os.close(usage)  # unlocks


def _number(usage: int) -> int:
    digits = os.pread(usage, 20, 0)
    return int(digits) if len(digits) == 20 and digits.isdigit() else 0
