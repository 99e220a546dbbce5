"""Describes damage in a folder of shards precisely enough to find it with a hex editor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.data.shards.index import FolderIndex


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is wrong, and where, as far as known."""

    file: Path
    """Damaged file."""
    what: str
    """What was found, and what is expected."""
    block: int | None = None
    """Block of a tar."""
    member: str | None = None
    """Member of the block, such as ``tokens.i32``."""
    byte: int | None = None
    """First byte of the damage in the file."""

    @classmethod
    def of(cls, file: Path, error: Exception) -> Damage:
        """Make a damage from an error about `file`."""
        return cls(file=file, what=str(error).removeprefix(f"{file}: ").removeprefix(f"{file} "))

    def __str__(self) -> str:
        place = ", ".join(
            [f"block {self.block}"] * (self.block is not None)
            + [str(self.member)] * (self.member is not None)
            + [f"byte {self.byte}"] * (self.byte is not None)
        )
        return f"{self.file}: {place}: {self.what}" if place else f"{self.file}: {self.what}"


def against_manifest(folder: Path, index: FolderIndex) -> Damage | None:
    """Damage if the folder's manifest is unreadable or states another checksum than `index`; None otherwise."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        stated = read_manifest(folder).facts.get("checksum", index.checksum)
    except ValueError as error:
        return Damage.of(path, error)
    if stated == index.checksum:
        return None
    what = f"states checksum {stated} where the shards have {index.checksum}: not the shards it was made with"
    return Damage(file=path, what=what)
