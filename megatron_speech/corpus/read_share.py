"""Says how much of some corpus files has been read: by bytes, or by rows where a file states their number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path, PosixPath
from typing import IO, Any

from megatron_speech.corpus.interface import CorpusFile
from megatron_speech.corpus.remote_file import RemoteFile
from megatron_speech.corpus.table import reader_of


class ReadShare:
    """Watches files that are read one after the other. Limitation: a remote file counts once it is read whole."""

    def __init__(self, files: Sequence[CorpusFile]) -> None:
        self.files: list[CorpusFile] = [_WatchedPath(file) if isinstance(file, Path) else file for file in files]
        """The same files; these have to be read."""
        self._sizes = [size_of(file) for file in files]
        self._ends = list(accumulate(self._sizes, initial=0))
        self._rows = cache(_rows)

    def share(self, index: int, number: int) -> float:
        """Share of all bytes that has been read when record `number` of file `index` is there."""
        file, size = self.files[index], self._sizes[index]
        rows = self._rows(file)
        if rows:
            size = size * min(number, rows) // rows
        elif isinstance(file, _WatchedPath):
            size = min(size, file.bytes_read())
        else:
            size = 0
        return (self._ends[index] + size) / max(1, self._ends[-1])


def size_of(file: CorpusFile) -> int:
    """Size of a corpus file in bytes; 0 if it is not there, which its reader reports."""
    if isinstance(file, RemoteFile):
        return file.size
    return file.stat().st_size if file.is_file() else 0


def _rows(file: CorpusFile) -> int | None:
    count = reader_of(file).count
    return count(file) if count else None


class _WatchedPath(PosixPath):
    """A path that knows how much of its file has been read since it was opened."""

    _opened: IO[bytes] | None = None

    def open(self, *args: Any, **options: Any) -> IO[Any]:  # type: ignore[override]  # takes what a path takes
        """Open the file, as a path does."""
        self._opened = super().open(*args, **options)
        return self._opened

    def bytes_read(self) -> int:
        """Number of bytes before the place that is read next."""
        if self._opened is None:
            return 0
        return self.stat().st_size if self._opened.closed else self._opened.tell()
