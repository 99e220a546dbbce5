"""A damage in a folder of shards, told so that it can be found with a hex editor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is wrong, and where as far as it is known."""

    file: Path
    """File in which it shows."""
    what: str
    """What was found and what should be."""
    block: int | None = None
    """Block of a tar."""
    member: str | None = None
    """Member of that block, such as ``tokens.i32``."""
    byte: int | None = None
    """Where in the file."""

    @classmethod
    def of(cls, file: Path, error: Exception) -> Damage:
        """The damage that an error about `file` tells of."""
        return cls(file=file, what=str(error).removeprefix(f"{file}: ").removeprefix(f"{file} "))

    def __str__(self) -> str:
        place = ", ".join(
            [f"block {self.block}"] * (self.block is not None)
            + [str(self.member)] * (self.member is not None)
            + [f"byte {self.byte}"] * (self.byte is not None)
        )
        return f"{self.file}: {place}: {self.what}" if place else f"{self.file}: {self.what}"
