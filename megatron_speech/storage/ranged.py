"""Files at URLs, read by byte ranges through fsspec: http(s) and S3.

Every request has a deadline and is tried again; the connections are fsspec's. Credentials and endpoints come from where
each client looks for them (AWS_PROFILE, AWS_ENDPOINT_URL, FSSPEC_S3_ANON ...), never from a configuration that ends up
in a run folder.
"""

from __future__ import annotations

from typing import Any

from megatron_speech.storage.retry import Retry

CONNECTIONS = 64
"""To one S3 endpoint at a time; threads beyond it wait for each other."""


class Ranged:
    """Files of one scheme of URLs."""

    def __init__(self, scheme: str, retry: Retry, *, timeout_s: float) -> None:
        self._files = _file_system(scheme, timeout_s)
        self._retry, self._timeout_s = retry, timeout_s

    def size(self, path: str) -> int:
        """Bytes of the file."""
        found = self._retry(lambda: self._info(path)["size"], what=path)
        if found is None:
            raise OSError(f"{path}: the server does not say how many bytes it has; use one that sends Content-Length")
        return int(found)

    def read(self, path: str, start: int, size: int) -> bytes:
        """The bytes, by one request; OSError where the file is shorter, or no attempt brought them."""
        return self._retry(lambda: self._range(path, start, size), what=f"{path}: bytes {start} to {start + size}")

    def release(self) -> None:
        """Nothing is held."""

    def fetch(self, path: str) -> bytes:
        """A small file, whole."""
        return self._retry(lambda: self._files.cat_file(path, timeout=self._timeout_s), what=path)

    def find(self, url: str) -> dict[str, dict[str, Any]]:
        """What the server says of every file at, below or matching `url`, by URL; empty where there is none.

        Only S3 knows what lies below a URL, or matches a pattern.
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
        """ValueError unless the server sends a part where a part of the file at `path` is asked for."""
        part = self._retry(lambda: self._files.cat_file(path, start=1, end=3, timeout=self._timeout_s), what=path)
        if len(part) != 2:
            raise ValueError(
                f"{path}: the server ignores byte ranges and sends whole files; copy the shards to a disk, or serve "
                "them by one that knows ranges (S3, nginx, caddy)"
            )

    def _range(self, path: str, start: int, size: int) -> bytes:
        found = self._files.cat_file(path, start=start, end=start + size, timeout=self._timeout_s)
        if len(found) != size:
            raise ConnectionError(f"{len(found)} of {size} bytes came")
        return found

    def _info(self, path: str) -> dict[str, Any]:
        try:
            return self._files.info(path, timeout=self._timeout_s)
        except FileNotFoundError as error:  # which fsspec's http says of any failure
            cause = error.__cause__
            if cause is None or getattr(cause, "status", None) == 404:
                raise
            raise ConnectionError(str(cause)) from cause


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
