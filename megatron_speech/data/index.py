"""What lies where in a folder of shards: one sidecar per shard, one list of shards per folder.

A sidecar ``<shard>.index.json`` holds, per block and member, the payload's byte offset, its size and an xxh3 checksum
over its tar header, payload and padding, so that no byte of a shard can change unnoticed. The folder's ``shards.json``
holds the checksum of every sidecar: one short string identifies a whole folder. Sidecars are independent of each other
(nothing is merged, whatever the corpus's size) and can be rebuilt from the tars. Price: JSON costs about 100 bytes per
member, 0.01 % of a block of 4 MiB.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import xxhash

Kind = Literal["documents", "rows"]

FORMAT = 1
TAR_BLOCK = 512
"""Tar headers and paddings are multiples of this."""
FOLDER_INDEX = "shards.json"


class Member(NamedTuple):
    """One file of a block inside the tar."""

    offset: int
    """First byte of the payload."""
    size: int
    """Payload bytes."""
    checksum: str
    """xxh3_64 in hexadecimal over header, payload and padding."""

    @property
    def span(self) -> tuple[int, int]:
        """Bytes of the member with its tar header and its padding."""
        return self.offset - TAR_BLOCK, self.offset + -(-self.size // TAR_BLOCK) * TAR_BLOCK


@dataclass(frozen=True, kw_only=True)
class BlockEntry:
    """One WebDataset sample: many documents or rows at once."""

    items: int
    """Documents or rows."""
    text_tokens: int
    """Text and special ids, padding excluded."""
    speech_tokens: int
    """Speech ids."""
    members: dict[str, Member]
    """By extension, such as ``tokens.i32``."""


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The sidecar of one tar."""

    shard: str
    """File name of the tar."""
    num_bytes: int
    """Size of the tar; another size means truncation or a swap."""
    blocks: list[BlockEntry]
    """In file order."""

    def save(self, folder: Path) -> str:
        """Write the sidecar; returns its checksum."""
        blocks = [[b.items, b.text_tokens, b.speech_tokens, b.members] for b in self.blocks]
        return _save(sidecar(folder, self.shard), {"shard": self.shard, "bytes": self.num_bytes, "blocks": blocks})

    @classmethod
    def load(cls, folder: Path, shard: str, *, checksum: str) -> ShardIndex:
        """Read the sidecar of `shard`; ValueError unless it is the very one that `checksum` names."""
        path = sidecar(folder, shard)
        values = _load(path, checksum=checksum)
        if values["shard"] != shard:
            raise ValueError(f"{path}: describes {values['shard']}, not {shard}; the files were swapped, restore them")
        blocks = [
            BlockEntry(
                items=items,
                text_tokens=text,
                speech_tokens=speech,
                members={name: Member(*member) for name, member in members.items()},
            )
            for items, text, speech, members in values["blocks"]
        ]
        return cls(shard=shard, num_bytes=values["bytes"], blocks=blocks)


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One line of the folder's list."""

    name: str
    """File name of the tar."""
    items: int
    """Documents or rows."""
    text_tokens: int
    """Text and special ids."""
    speech_tokens: int
    """Speech ids."""
    checksum: str
    """xxh3_128 of the sidecar, which holds the checksums of the tar."""


@dataclass(frozen=True, kw_only=True)
class FolderIndex:
    """All shards of a folder."""

    kind: Kind
    """What an item is."""
    vocabulary: str
    """Fingerprint of the vocabulary of all ids."""
    seq_length: int
    """S of packed rows; 0 for documents."""
    shards: list[ShardEntry]
    """In name order; item i of the folder is counted through them."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the writer had to say, such as padding."""

    @property
    def items(self) -> int:
        """Documents or rows in the folder."""
        return sum(shard.items for shard in self.shards)

    @property
    def text_tokens(self) -> int:
        """Text and special ids in the folder."""
        return sum(shard.text_tokens for shard in self.shards)

    @property
    def speech_tokens(self) -> int:
        """Speech ids in the folder."""
        return sum(shard.speech_tokens for shard in self.shards)

    @property
    def checksum(self) -> str:
        """Identity of every byte in the folder's shards."""
        return xxhash.xxh3_128_hexdigest("".join(f"{s.name} {s.checksum}\n" for s in self.shards).encode())

    def save(self, folder: Path) -> None:
        """Write ``shards.json``."""
        values = {"kind": self.kind, "vocabulary": self.vocabulary, "seq_length": self.seq_length, "facts": self.facts}
        _save(folder / FOLDER_INDEX, {**values, "shards": [vars(shard) for shard in self.shards]})

    @classmethod
    def load(cls, folder: Path) -> FolderIndex:
        """Read ``shards.json``; FileNotFoundError where a folder holds no finished shards."""
        path = folder / FOLDER_INDEX
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} holds no {FOLDER_INDEX}: not a finished folder of shards; run the stage that makes it"
            )
        values = _load(path)
        shards = [ShardEntry(**shard) for shard in values.pop("shards")]
        return cls(**{key: values[key] for key in ("kind", "vocabulary", "seq_length", "facts")}, shards=shards)


def sidecar(folder: Path, shard: str) -> Path:
    """Where the sidecar of a tar lies."""
    return folder / (shard.removesuffix(".tar") + ".index.json")


def _save(path: Path, values: dict[str, Any]) -> str:
    """Write JSON with a checksum of its own content, which is returned."""
    body = json.dumps({"format": FORMAT, **values}, separators=(",", ":"), ensure_ascii=False)
    checksum = xxhash.xxh3_128_hexdigest(body.encode())
    path.write_text(f'{{"checksum":"{checksum}","content":\n{body}\n}}\n')
    return checksum


def _load(path: Path, *, checksum: str | None = None) -> dict[str, Any]:
    """Inverse of `_save`; ValueError names a file that is damaged, of another version, or not the expected one."""
    try:
        lines = path.read_text().split("\n")
        stated = json.loads(lines[0] + "0}")["checksum"]
        body = lines[1]
    except (UnicodeDecodeError, json.JSONDecodeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not an index of shards (damaged or truncated); rebuild the folder") from error
    if xxhash.xxh3_128_hexdigest(body.encode()) != stated:
        raise ValueError(
            f"{path}: content does not match its checksum; the file was edited or damaged, rebuild the folder"
        )
    if checksum is not None and stated != checksum:
        raise ValueError(
            f"{path}: checksum {stated[:12]} where {FOLDER_INDEX} states {checksum[:12]}; the index is stale or swapped"
        )
    values = json.loads(body)
    if values["format"] != FORMAT:
        raise ValueError(f"{path}: format={values['format']} where this version reads {FORMAT}; rebuild the folder")
    return values
