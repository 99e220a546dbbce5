"""How packed rows are read: from which kind of storage, by how many threads, and what happens to damaged ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
SCHEMES = ("http", "https", "s3")
"""URLs that can be read by byte ranges."""


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Reading, which decides speed and what damage does, but never which row comes when."""

    storage: Literal["mmap", "pread"] = "mmap"
    """How folders of this machine are read: mapped (local disks), or by offset (parallel file systems such as Lustre,
    where a mapped page that cannot be read kills the process). Sources at URLs are read by byte ranges."""
    threads: int = 1
    """Reader threads: one is enough for a page cache; an object store wants as many as requests are to be in flight."""
    prefetch: int = 4
    """Micro-batches read ahead."""
    cache: Path | None = None
    """Folder on a local disk for what was fetched from URLs: indices, and blocks up to cache_bytes. All ranks of a node
    share it, and a later run finds it filled. Needed where a source is a URL."""
    cache_bytes: int = 1 << 36
    """Bytes of blocks that the cache may hold, the longest unused going first; 0 fetches every row by itself."""
    attempts: int = 6
    """Tries of a read before it is an error; the pause between them doubles, at random length, up to ten seconds."""
    timeout_s: float = 60.0
    """Seconds until a request to a URL counts as failed. Reads of files cannot be interrupted."""
    on_damage: Literal["fail", "mask"] = "mask"
    """A row whose checksum differs, also when it is read again: 'fail' ends the run; 'mask' keeps its place with tokens
    that bear no loss, and notes it in the run folder's quarantine. Validation always fails."""
    damaged_blocks: int = 3
    """With mask, the run ends when more blocks than this are damaged and more samples than damaged_share ..."""
    damaged_share: float = 1e-5
    """... of the run's samples."""
    damaged_source_share: float = 0.01
    """With mask, the run also ends when more than this share of one source's samples is masked, however few those are:
    a small source would else be lost within the limits of a large run."""

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
        """Refuse a source's `folder` that cannot be read by offset, or whose index files have no place to be."""
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
    """Whether a source lies at a URL, and not in a folder of this machine."""
    return isinstance(folder, str) and URL.fullmatch(folder) is not None


def url_or_path(folder: str | Path) -> str | Path:
    """A URL as text, a folder of this machine as a path."""
    return folder if is_url(folder) else Path(folder)


def require_local(key: str, folder: Path) -> None:
    """Refuse a URL where a tool reads folders of this machine alone; a path has lost one of its slashes."""
    if found := re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", str(folder)):
        raise ValueError(
            f"{key}={found[1]}://{found[2]} is a URL, and only training reads those; copy it to a folder here"
        )
