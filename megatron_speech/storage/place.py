"""Where the bytes of a source's folder lie, and how they come here.

A folder of this machine is read as it is. Of a folder at a URL the index files are fetched whole into a mirror, a
folder in the cache which everything takes for the source's own; its shards stay where they are, and are read by ranges
or through the cache of blocks. A mirror is named by the URL and the content of its ``shards.json``: a source that
changed gets another one, so that nothing in a mirror is ever stale. Price: one request per source whenever
a rank opens it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.run.reader import ReaderConfig, is_url
from megatron_speech.storage.cache import BlockCache
from megatron_speech.storage.interface import FOLDER_INDEX, Storage
from megatron_speech.storage.local import Mapped, Positioned
from megatron_speech.storage.ranged import Ranged
from megatron_speech.storage.read_stats import ReadStats
from megatron_speech.storage.retry import Retry

ORIGIN = "origin.json"
"""In a mirror: where it is the mirror of."""
WHOLE_FILES = (FOLDER_INDEX, "vocabulary.json", "manifest.json")
"""Fetched when a mirror is made; sidecars follow when their shard is first read."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One source's folder, ready to be read."""

    base: str
    """Path or URL; a file's name is appended."""
    storage: Storage
    cache: BlockCache | None = None
    """Of remote shards."""
    fetch: Callable[[str], bytes] | None = None
    """A small file of a remote folder by its URL, whole."""

    def path(self, name: str) -> str:
        """Path or URL of a file."""
        return f"{self.base}/{name}"

    def bring(self, path: Path) -> None:
        """Make sure that the index file at `path` (of the folder, or its mirror) is there."""
        if self.fetch is not None and not path.exists():
            _write(path, self.fetch(self.path(path.name)))

    def bring_again(self, path: Path) -> bool:
        """Fetch an index file that turned out to be damaged; False where there is nowhere to fetch it from."""
        if self.fetch is None:
            return False
        _write(path, self.fetch(self.path(path.name)))
        return True


class Places:
    """Makes places: one set of open files, one cache and one count for all that a process reads."""

    def __init__(self, config: ReaderConfig | None = None) -> None:
        self.config, self.stats = config or ReaderConfig(), ReadStats()
        self._retry = Retry(self.config.attempts, on_retry=lambda: self.stats.add(retries=1))
        self._local: Storage = Mapped() if self.config.storage == "mmap" else Positioned(self._retry)
        self._remote: dict[str, Ranged] = {}

    def of(self, folder: Path) -> Place:
        """The place of a folder or of a mirror."""
        if not (folder / ORIGIN).is_file():
            return Place(base=str(folder), storage=self._local)
        url, cache, limit = read_json(folder / ORIGIN)["url"], self.config.cache, self.config.cache_bytes
        assert cache is not None, "DataConfig requires a cache for URLs"
        remote = self.remote(url)
        return Place(
            base=url,
            storage=remote,
            cache=BlockCache(cache, limit=limit, stats=self.stats) if limit else None,
            fetch=remote.fetch,
        )

    def remote(self, url: str) -> Ranged:
        """The client of a URL."""
        scheme = url.split(":", 1)[0].lower()
        if scheme not in self._remote:
            self._remote[scheme] = Ranged(scheme, self._retry, timeout_s=self.config.timeout_s)
        return self._remote[scheme]


def local_folder(folder: str | Path, config: ReaderConfig) -> Path:
    """The folder itself, or the mirror of a URL with its index files.

    Raises:
        FileNotFoundError: there is no finished folder of shards at the URL.
        ValueError: its server knows no byte ranges.
        OSError: it did not answer.
    """
    if not is_url(folder):
        return Path(folder)
    url = str(folder).rstrip("/")
    assert config.cache is not None, "DataConfig requires a cache for URLs"
    remote = Places(config).remote(url)
    try:
        index = remote.fetch(f"{url}/{FOLDER_INDEX}")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{url} holds no {FOLDER_INDEX}: not a finished folder of shards; copy all its files there"
        ) from error
    mirror = config.cache / "mirrors" / hashlib.sha256(url.encode() + b"\0" + index).hexdigest()[:24]
    if not (mirror / ORIGIN).is_file():
        remote.require_ranges(f"{url}/{FOLDER_INDEX}")
        mirror.mkdir(parents=True, exist_ok=True)
        _write(mirror / FOLDER_INDEX, index)
        for name in WHOLE_FILES[1:]:
            try:
                _write(mirror / name, remote.fetch(f"{url}/{name}"))
            except FileNotFoundError:
                if name == "vocabulary.json":
                    raise
        _write(mirror / ORIGIN, to_json({"url": url}).encode())  # last: the mark of a whole mirror
    return mirror


def _write(path: Path, content: bytes) -> None:
    """Several ranks may do this at once, with the same content."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
