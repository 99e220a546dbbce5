"""Files at URLs (http, https, S3), read by byte ranges through fsspec.

Every request has a timeout and is retried. Each client finds its own credentials and endpoints (AWS_PROFILE,
AWS_ENDPOINT_URL, FSSPEC_S3_ANON ...). They are never settings, because settings are saved in run folders.
"""

from __future__ import annotations

from typing import Any

from megatron_speech.storage.retry import Retry

CONNECTIONS = 64
"""Maximum number of connections to an S3 endpoint; further threads wait."""


class Ranged:
    """Client for the files of one URL scheme."""

    def __init__(self, scheme: str, retry: Retry, *, timeout_s: float) -> None:
        self._files = _file_system(scheme, timeout_s)
        self._retry, self._timeout_s = retry, timeout_s

    def size(self, path: str) -> int:
        """Size of the file in bytes; raises OSError if the server does not report it."""
        found = self._retry(lambda: self._info(path)["size"], what=path)
        if found is None:
            raise OSError(f"{path}: the server does not say how many bytes it has; use one that sends Content-Length")
        return int(found)

    def read(self, path: str, start: int, size: int) -> bytes:
        """Fetch bytes `start` .. `start + size`; raises OSError if the file is shorter or all attempts fail."""
        return self._retry(lambda: self._range(path, start, size), what=f"{path}: bytes {start} to {start + size}")

    def release(self) -> None:
        """Do nothing: no memory is held."""

    def fetch(self, path: str) -> bytes:
        """Fetch a small file as a whole."""
        found: bytes = self._retry(lambda: self._files.cat_file(path, timeout=self._timeout_s), what=path)
        return found

    def find(self, url: str) -> dict[str, dict[str, Any]]:
        """Metadata of every file at, below or matching `url`, by URL; empty if there is none.

        Only S3 can list files below a URL or match a pattern.
        """
        return self._retry(lambda: self._find(url), what=url)

    def _find(self, url: str) -> dict[str, dict[str, Any]]:
        try:
            if url.startswith("http"):
                return {url: self._info(url)}
            self._files.invalidate_cache()
            found = self._files.glob(url, detail=True) if "*" in url else self._files.find(url, detail=True)
        except FileNotFoundError:
            return {}
        return {self._files.unstrip_protocol(name): said for name, said in found.items()}

    def require_ranges(self, path: str) -> None:
        """Raise ValueError if the server does not support byte ranges for the file at `path`."""
        part = self._retry(lambda: self._files.cat_file(path, start=1, end=3, timeout=self._timeout_s), what=path)
        if len(part) != 2:
            raise ValueError(
                f"{path}: the server ignores byte ranges and sends whole files; copy the shards to a disk, or serve "
                "them by one that knows ranges (S3, nginx, caddy)"
            )

    def _range(self, path: str, start: int, size: int) -> bytes:
        found: bytes = self._files.cat_file(path, start=start, end=start + size, timeout=self._timeout_s)
        if len(found) != size:
            raise ConnectionError(f"{len(found)} of {size} bytes came")
        return found

    def _info(self, path: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._files.info(path, timeout=self._timeout_s)
        except FileNotFoundError as error:  # fsspec's http client raises it for any failure
            cause = error.__cause__
            if cause is None or getattr(cause, "status", None) == 404:
                raise
            raise ConnectionError(str(cause)) from cause
        return found


def _file_system(scheme: str, timeout_s: float) -> Any:
    import fsspec

    options: dict[str, Any] = {}
    if scheme == "s3":
        limits = {"connect_timeout": timeout_s, "read_timeout": timeout_s, "max_pool_connections": CONNECTIONS}
        # One attempt at a time: `Retry` counts them, and loops of retries inside each other multiply.
        options = {"config_kwargs": {"retries": {"total_max_attempts": 1}, **limits}}
    try:
        found = fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError as error:
        raise ImportError(
            f"{scheme}:// needs packages that are not installed: pip install '.[object-store]'"
        ) from error
    if scheme == "s3":
        found.retries = 1
    return found
