"""Places: how to read the folder of a source, which is local or at a URL.

A local folder is read directly. For a folder at a URL, the index files are copied to a folder in the cache, the mirror.
The rest of the code uses it like a local source. The shards stay at the URL and are read by ranges or through the block
cache.

The name of a mirror is a hash of the URL and of ``shards.json``. A source that changes gets a new mirror, so a mirror
is never stale. Cost: one request per source each time a rank opens it.
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
"""File in a mirror that holds the URL of the source."""
WHOLE_FILES = (FOLDER_INDEX, "vocabulary.json", "manifest.json")
"""Files that are copied when a mirror is made; a sidecar is copied when its shard is first read."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Access to the folder of one source."""

    base: str
    """Path or URL of the folder."""
    storage: Storage
    cache: BlockCache | None = None
    """Cache of remote shards."""
    fetch: Callable[[str], bytes] | None = None
    """Fetches a small remote file as a whole by its URL; None for a local folder."""

    def path(self, name: str) -> str:
        """Path or URL of the file `name`."""
        return f"{self.base}/{name}"

    def bring(self, path: Path) -> None:
        """Fetch the index file at `path` into the mirror unless it exists; do nothing for a local folder."""
        if self.fetch is not None and not path.exists():
            _write(path, self.fetch(self.path(path.name)))

    def bring_again(self, path: Path) -> bool:
        """Fetch a damaged index file again; False for a local folder."""
        if self.fetch is None:
            return False
        _write(path, self.fetch(self.path(path.name)))
        return True


class Places:
    """Makes places that share open files, clients and read statistics within a process."""

    def __init__(self, config: ReaderConfig | None = None) -> None:
        self.config, self.stats = config or ReaderConfig(), ReadStats()
        self._retry = Retry(self.config.attempts, on_retry=lambda: self.stats.add(retries=1))
        self._local: Storage = Mapped() if self.config.storage == "mmap" else Positioned(self._retry)
        self._remote: dict[str, Ranged] = {}

    def of(self, folder: Path) -> Place:
        """The place of a local folder or of a mirror."""
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
        """The client for a URL, one per scheme."""
        scheme = url.split(":", 1)[0].lower()
        if scheme not in self._remote:
            self._remote[scheme] = Ranged(scheme, self._retry, timeout_s=self.config.timeout_s)
        return self._remote[scheme]


def local_folder(folder: str | Path, config: ReaderConfig) -> Path:
    """The folder itself, or the mirror of a URL, which is made if it does not exist.

    Raises:
        FileNotFoundError: there is no finished folder of shards at the URL.
        ValueError: the server does not support byte ranges.
        OSError: the server did not answer.
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
        _write(mirror / ORIGIN, to_json({"url": url}).encode())  # written last: marks a complete mirror
    return mirror


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically; several ranks may write the same content at once."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
