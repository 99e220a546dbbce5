"""Interface of all kinds of storage."""

from __future__ import annotations

from typing import Protocol

FOLDER_INDEX = "shards.json"
"""File that lists the shards of a folder and names their vocabulary."""


class Storage(Protocol):
    """Reads byte ranges of files by path or URL; thread-safe."""

    def size(self, path: str) -> int:
        """Size of the file in bytes; raises FileNotFoundError if it is missing."""

    def read(self, path: str, start: int, size: int) -> memoryview | bytes:
        """Bytes `start` .. `start + size` of the file, never fewer; a memoryview points into a mapped file.

        Raises:
            OSError: the range could not be read or the file is too short (names file and bytes).
            EOFError: a local file is too short.
        """

    def release(self) -> None:
        """Free the memory of mapped pages; memoryviews from `read` stay valid."""
