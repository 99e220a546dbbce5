"""Reads, writes and hashes the files of an artifact; errors name the file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from safetensors import SafetensorError


def read_json(path: Path) -> Any:
    """Read a JSON file; ValueError if it is not JSON."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not JSON ({error}): it is damaged; make it again, or restore it from a copy"
        ) from error


def write_atomic(path: Path, text: str) -> None:
    """Write a small file atomically: readers, also after a crash, see the old or the new content, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def rename_synced(temporary: Path, path: Path) -> None:
    """Force the file `temporary` to the disk, then rename it to `path`."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turn write errors inside the context into an OSError that names `path`.

    A failed write to an open file raises an OSError without the file's name. torch raises a RuntimeError instead, with
    the OSError as its context. safetensors raises an error of its own. Other errors, and those that name a file, pass.
    """
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{path}: {error}; is the disk full?") from error
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is None or cause.filename is not None or cause.errno is None:
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error


def fingerprint_files(paths: Sequence[Path]) -> str:
    """sha256 over the names and contents of files, in name order."""
    digests = []
    for path in sorted(paths, key=lambda path: path.name):
        with path.open("rb") as file:
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    return fingerprint(digests)


def file_xxh3(path: Path) -> str:
    """xxh3_128 of a file: a fast checksum against damage."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def fingerprint(digests: Sequence[tuple[str, str]]) -> str:
    """sha256 of (name, digest) pairs, in the given order."""
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in digests).encode()).hexdigest()
