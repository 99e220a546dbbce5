"""Open a file of lines that is compressed by gzip, by zstd or not at all.

zstandard's stream reader treats a file truncated inside a frame as complete, so half a corpus could silently vanish.
This module raises EOFError instead. Frames with long windows are supported.
Cost: decompression needs as much memory as the window, 2 GiB for ``zstd --long=31``.
"""

from __future__ import annotations

import gzip
import io
from typing import IO, Any

from megatron_speech.corpus.interface import CorpusFile

CHUNK = 1 << 20
"""Bytes per read."""
LONGEST_WINDOW = 1 << 31
"""Largest window of a zstd frame in bytes: the maximum of the format on 64-bit machines."""


def open_lines(path: CorpusFile) -> IO[bytes]:
    """Open `path` for decompressed lines of bytes; reading a truncated compressed file raises EOFError.

    Raises:
        ValueError: the file is compressed by zstd, and zstandard is not installed.
    """
    if path.suffix == ".gz":
        return gzip.open(path.open("rb"), "rb")  # type: ignore[return-value]  # a GzipFile reads bytes
    if path.suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            raise ValueError(f"{path}: reading zst needs zstandard; pip install 'megatron-speech[corpus]'") from error
        return io.BufferedReader(_ZstdFrames(path, zstandard), CHUNK)
    return path.open("rb")


class _ZstdFrames(io.RawIOBase):
    """Decompressed bytes of all frames of a zstd file, one after another."""

    def __init__(self, path: CorpusFile, zstandard: Any) -> None:
        self._zstandard = zstandard
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=LONGEST_WINDOW)
        self._file = path.open("rb")
        self._frame: Any = None
        self._compressed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            self._compressed = self._compressed or self._file.read(CHUNK)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError("it stops in the middle of a zstd frame")
                return 0
            self._frame = self._frame or self._decompressor.decompressobj()
            try:
                self._plain = memoryview(self._frame.decompress(self._compressed))
            except self._zstandard.ZstdError as error:
                raise EOFError(str(error)) from error
            self._compressed = self._frame.unused_data if self._frame.eof else b""
            self._frame = None if self._frame.eof else self._frame
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count
