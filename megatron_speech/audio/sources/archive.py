"""Members of tars, grouped by utterance; repeated or scattered members, truncation and trailing data are errors.

A tar is read once, as a stream, without writing to disk; gzip, bzip2 and xz are decompressed on the fly.
"""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from megatron_speech.artifacts.left_out import is_companion
from megatron_speech.audio.sources.listed import AUDIO_KINDS

logger = logging.getLogger(__name__)

PARTS = (*AUDIO_KINDS, "txt", "json")
"""Endings of the members that belong to an utterance."""
_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


@dataclass(frozen=True, kw_only=True)
class Members:
    """The members of one utterance."""

    key: str
    """Common path of the members, without the ending."""
    numbers: list[int] = field(default_factory=list)
    """Positions of the members in the tar, from 1."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Contents by ending (lower case, without the dot)."""
    links: list[str] = field(default_factory=list)
    """Endings of members that are links or devices, which have no content."""
    others: set[str] = field(default_factory=set)
    """Endings of further members, which are not in `PARTS`."""

    def place(self, path: Path) -> str:
        """Place of the utterance for error messages; `path` is the tar."""
        endings = ", ".join([*(f".{ending}" for ending in (*self.files, *sorted(self.others))), *self.links])
        return f"{path}, member {self.numbers[0]} ({endings})"


def read_members(path: Path) -> Iterator[Members]:
    """Members of each utterance, in tar order; companion files of macOS are skipped.

    Members of an utterance have the same path up to the last dot of the file name, and have to be neighbours.

    Raises:
        ValueError: a member repeats, members of an utterance lie apart (names both places), or the tar is damaged or
            has no utterance.
    """
    # Group neighbours by key, and remember the place of every member.
    seen: dict[str, dict[str, int]] = {}
    group: Members | None = None
    unknown: Counter[str] = Counter()
    for number, name, content in read_files(path):
        key, ending = split_name(name)
        if ending not in PARTS:
            unknown[f".{ending}" if ending else "no ending"] += 1
            if group is not None and group.key == key:
                group.others.add(ending)
            continue
        if group is not None and group.key != key:
            yield group
            group = None
        _require_new_neighbour(path, number, name, seen.setdefault(key, {}), begins=group is None)
        seen[key][ending] = number
        group = group or Members(key=key)
        group.numbers.append(number)
        if content is None:
            group.links.append(f".{ending}")
        else:
            group.files[ending] = content
    if group is not None:
        yield group
    # Report members that belong to no utterance.
    found = ", ".join(f"{ending} {count}" for ending, count in unknown.most_common())
    if not seen:
        known = f"known are .{', .'.join(PARTS)}"
        raise ValueError(f"{path}: no recording in it; its members end in {found or 'nothing, it is empty'}, {known}")
    if unknown:
        logger.warning("%s: skipped members that belong to no utterance: %s", path, found)


def _require_new_neighbour(path: Path, number: int, name: str, seen: dict[str, int], *, begins: bool) -> None:
    """Raise ValueError if a member repeats, or `begins` an utterance that has members (`seen`) earlier in the tar."""
    key, ending = split_name(name)
    if ending in seen:
        places = f"as member {seen[ending]} and as member {number}"
        raise ValueError(f"{path}: utterance {key!r} has its .{ending} twice, {places}; leave one out")
    if seen and begins:
        raise ValueError(
            f"{path}: utterance {key!r} begins with member {min(seen.values())}, and its .{ending} is member {number}, "
            "after others; members of one utterance must be neighbours (tar --sort=name)"
        )
    if name.endswith(".trans.txt"):
        raise ValueError(
            f"{path}: {name} has the words of a chapter, as LibriSpeech is published; unpack it, and give the folder "
            "as the table"
        )


def read_files(path: Path) -> Iterator[tuple[int, str, bytes | None]]:
    """Number, name and content of each member except folders; the content of links and devices is None.

    Raises ValueError if the tar is damaged or truncated.
    """
    number = 0
    try:
        with _opened(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for number, member in enumerate(tar, start=1):
                name = member.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                if not member.isdir() and not is_companion(name):
                    content = tar.extractfile(member) if member.isreg() else None
                    yield number, name.removeprefix("./"), content.read() if content else None
            _require_end(path, tar, number)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise ValueError(f"{path}: damaged, or no tar, after member {number} ({error}); copy it again") from error


def split_name(name: str) -> tuple[str, str]:
    """Path up to the last dot of the file name, and the ending in lower case."""
    folder, slash, base = name.rpartition("/")
    stem, dot, ending = base.rpartition(".")
    return (f"{folder}{slash}{stem}", ending.lower()) if dot else (name, "")


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise ValueError(f"{path}: is compressed by zstd; decompress it to .tar")
    opened = next((opened for magic, opened in _COMPRESSED.items() if head.startswith(magic)), open)
    stream: BinaryIO = opened(path, "rb")
    return stream


def _require_end(path: Path, tar: tarfile.TarFile, number: int) -> None:
    """Raise ValueError unless the tar ends with its end mark: two empty blocks (tarfile has read the first).

    tarfile itself treats a truncated or damaged header as the end of the tar.
    """
    stream = tar.fileobj
    assert stream is not None, "an open tar"
    left = 0
    while rest := stream.read(1 << 20):
        left += len(rest)
        if rest.strip(b"\0"):
            raise ValueError(
                f"{path}: data without a member follow member {number}: damaged, or tars joined by cat; copy it "
                "again, or join them by tar --concatenate"
            )
    if left < tarfile.BLOCKSIZE:
        raise ValueError(f"{path}: ends after member {number} without an end mark: truncated; copy it again")
