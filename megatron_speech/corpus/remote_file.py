"""Corpus files at a URL, read from beginning to end like local files.

`RemoteFile` has the methods of `Path` that reading a corpus needs. Bytes are fetched by ranges, each with a timeout
and retries. Size, entity tag and time from the server show whether a file changed, so this needs no download.
Limitation: nothing is cached; a file that is read twice is fetched twice.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from megatron_speech.config.run.reader import ReaderConfig
from megatron_speech.storage.ranged import Ranged
from megatron_speech.storage.retry import Retry

RANGE_BYTES = 1 << 23
"""Bytes per request."""
_STAMPS = ("ETag", "etag", "LastModified", "Last-Modified", "Content-MD5", "Digest")
"""Header fields that change with a file's content."""


@dataclass(frozen=True)
class RemoteFile:
    """One file at a URL."""

    url: str
    size: int = field(compare=False)
    """Size in bytes."""
    identity: str = field(compare=False)
    """Hash of URL, size and _STAMPS; differs if the file has changed on the server."""

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """Last part of the URL's path."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def suffix(self) -> str:
        """Ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open the file as a seekable stream; a failed read raises OSError with URL and byte range."""
        assert mode == "rb", f"{mode=}: files at URLs are read only"
        return io.BufferedReader(_Stream(self.url, self.size), RANGE_BYTES)


def remote_files(url: str) -> list[RemoteFile]:
    """The file at `url`, all files below it (S3), or all that match a ``*`` in it (S3), sorted by URL.

    Raises:
        OSError: the server did not answer.
        ValueError: the packages for this kind of URL are not installed, or the server does not report a size.
    """
    found = client(url).find(url)
    if unknown := [name for name, said in found.items() if said.get("size") is None]:
        raise ValueError(
            f"{unknown[0]}: the server does not say how many bytes it has; use one that sends Content-Length, or copy "
            "the file to a disk"
        )
    return [RemoteFile(name, int(said["size"]), _identity(name, said)) for name, said in sorted(found.items())]


def client(url: str) -> Ranged:
    """The client for a URL's scheme, one per process and scheme."""
    return scheme_client(urlsplit(url).scheme)


@lru_cache
def scheme_client(scheme: str) -> Ranged:
    """The client of a scheme such as ``s3``; ValueError names the packages that it needs and that are missing."""
    settings = ReaderConfig()
    retry = Retry(settings.attempts, remedy="check the address, the credentials and the network")
    try:
        return Ranged(scheme, retry, timeout_s=settings.timeout_s)
    except ImportError as error:
        raise ValueError(str(error)) from error


def _identity(url: str, said: dict[str, Any]) -> str:
    stamps = {key: str(said[key]) for key in ("size", *_STAMPS) if said.get(key) is not None}
    return hashlib.sha256(json.dumps([url, stamps], sort_keys=True).encode()).hexdigest()


class _Stream(io.RawIOBase):
    """Seekable stream of the bytes at a URL."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size, self._at = url, size, 0
        self._client = client(url)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        if count:
            buffer[:count] = self._client.read(self._url, self._at, count)
            self._at += count
        return count
