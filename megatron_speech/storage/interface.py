"""What every kind of storage can do."""

from __future__ import annotations

from typing import Protocol

FOLDER_INDEX = "shards.json"
"""In a folder of shards: which they are, and of what vocabulary."""


class Storage(Protocol):
    """Ranges of files by their path or URL; safe to call from several threads."""

    def size(self, path: str) -> int:
        """Bytes of the file; FileNotFoundError names one that is missing."""

    def read(self, path: str, start: int, size: int) -> memoryview | bytes:
        """Bytes `start` .. `start + size` of the file, never fewer; a memoryview is a window on a mapped file.

        Raises:
            OSError: the range could not be read, or the file ends before it; file and bytes are named.
        """

    def release(self) -> None:
        """Give back the memory of what was read; windows stay valid."""
