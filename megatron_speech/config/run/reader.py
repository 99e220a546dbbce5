"""Settings of the reader of packed rows: storage, threads, cache, and the handling of damaged rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
SCHEMES = ("http", "https", "s3")
"""URL schemes that can be read by byte ranges."""


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How rows are read. These settings affect speed and the handling of damage, never the order of samples."""

    storage: Literal["mmap", "pread"] = "mmap"
    """How local folders are read: memory-mapped (mmap) or by offset (pread). Use pread on parallel file systems such as
    Lustre, where an unreadable mapped page kills the process. URLs are always read by byte ranges."""
    threads: int = 1
    """Reader threads. One is enough for a page cache; for an object store, use one per parallel request."""
    prefetch: int = 4
    """Micro-batches to read ahead."""
    cache: Path | None = None
    """Folder on a local disk for data fetched from URLs: index files, and blocks up to cache_bytes. All ranks of a node
    share it, and later runs reuse it. Required if a source is a URL."""
    cache_bytes: int = 1 << 36
    """Largest size of the cached blocks in bytes; the least recently used are evicted first. 0 disables the block cache
    and fetches each row separately."""
    attempts: int = 6
    """Attempts at a read before it fails. Pauses between attempts are random, up to a limit that doubles to ten
    seconds."""
    timeout_s: float = 60.0
    """Timeout of a request to a URL, in seconds. Reads of local files cannot be interrupted."""
    on_damage: Literal["fail", "mask"] = "mask"
    """What to do if a row's checksum still differs after a second read: 'fail' ends the run. 'mask' replaces the row by
    tokens without loss and records it in the run folder's quarantine. A damaged validation row always ends the run."""
    damaged_blocks: int = 3
    """With mask, end the run if more blocks than this are damaged and damaged_share is exceeded as well."""
    damaged_share: float = 1e-5
    """Largest share of the run's samples that may be masked; see damaged_blocks."""
    damaged_source_share: float = 0.01
    """With mask, also end the run if more than this share of one source's samples is masked. This protects small
    sources, which could be lost within the limits of a large run."""

    def __post_init__(self) -> None:
        for name, least in (
            ("threads", 1),
            ("prefetch", 1),
            ("attempts", 1),
            ("cache_bytes", 0),
            ("damaged_blocks", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"data.reader.{name}={getattr(self, name)} must be at least {least}; raise it")
        if not 0 < self.timeout_s < 1e6:  # false for nan too
            raise ValueError(f"data.reader.timeout_s={self.timeout_s} must lie above 0; 60 is usual")
        for name, usual in (("damaged_share", 1e-5), ("damaged_source_share", 0.01)):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.reader.{name}={getattr(self, name)} must lie in 0 to 1; {usual:g} is usual")

    def check_folder(self, key: str, folder: str | Path) -> None:
        """Raise ValueError if `folder` is a URL that cannot be read by offset, or that needs a cache and has none."""
        found = URL.fullmatch(folder) if isinstance(folder, str) else None
        if found is None:
            return
        scheme = found["scheme"].lower()
        if scheme == "pipe":
            raise ValueError(
                f"{key}={folder}: a pipe runs a shell command, whose output can neither be read by offset nor checked; "
                "give a folder, or a URL with byte ranges (http, https, s3)"
            )
        if scheme not in SCHEMES or not found["rest"].startswith("//"):
            raise ValueError(f"{key}={folder}: no folder and none of the URLs {', '.join(SCHEMES)}; copy it to a disk")
        if self.cache is None:
            raise ValueError(f"{key}={folder} is a URL and data.reader.cache names no folder; name one on a local disk")


def is_url(folder: str | Path) -> bool:
    """Whether a source is a URL rather than a local folder."""
    return isinstance(folder, str) and URL.fullmatch(folder) is not None


def url_or_path(folder: str | Path) -> str | Path:
    """Return a URL as text, a local folder as a path."""
    return folder if is_url(folder) else Path(folder)


def require_local(key: str, folder: Path) -> None:
    """Raise ValueError for a URL given to a tool that reads only local folders; in a `Path`, "//" has become "/"."""
    if found := re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", str(folder)):
        raise ValueError(
            f"{key}={found[1]}://{found[2]} is a URL, and only training reads those; copy it to a folder here"
        )
