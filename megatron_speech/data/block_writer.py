"""Write folders of WebDataset tars, block by block.

A shard is a plain USTAR tar with fixed times and owners, so equal content gives equal bytes; one WebDataset sample is
one block of many documents or rows (about 4 MiB), because a tar member per document would cost more than the
document. Price: a folder is written once, whole, and never appended to.
"""

from __future__ import annotations

import mmap
import re
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import xxhash
from webdataset import TarWriter

from megatron_speech.data.index import BlockEntry, FolderIndex, Kind, Member, ShardEntry, ShardIndex
from megatron_speech.vocabulary import Vocabulary

SHARD_TOKENS = 1 << 28
"""Default size of a shard: 1 GiB of int32."""
BLOCK_TOKENS = 1 << 20
"""Default size of a block: 4 MiB of int32."""


class BlockWriter:
    """Write blocks into numbered shards of `folder`; as a context manager, so that only success finishes the folder."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        kind: Kind,
        vocabulary: Vocabulary,
        seq_length: int = 0,
        shard_tokens: int = SHARD_TOKENS,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
            raise ValueError(
                f"name={name!r} must be 1 to 60 letters, digits, - or _ (it begins every shard's name); rename it"
            )
        if (folder / "shards.json").exists():
            raise FileExistsError(f"{folder} already holds finished shards; remove it or choose another output")
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f"{name}-*.tar"):  # left by an attempt that did not finish
            stale.unlink()
        vocabulary.save(folder / "vocabulary.json")
        self.facts: dict[str, Any] = {}
        self._folder, self._name, self._shard_tokens = folder, name, shard_tokens
        self._index = FolderIndex(kind=kind, vocabulary=vocabulary.fingerprint, seq_length=seq_length, shards=[])
        self._stream: BinaryIO | None = None
        self._blocks: list[BlockEntry] = []
        self._tokens = 0

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            if self._stream is not None:
                self._stream.close()
            return
        self._finish_shard()
        if not self._index.shards:
            raise ValueError(f"{self._folder}: nothing to write: the input holds no documents; check the stage before")
        self._index.facts.update(self.facts)
        self._index.save(self._folder)

    @property
    def index(self) -> FolderIndex:
        """The folder's index; complete once the block has ended."""
        return self._index

    def write(self, members: dict[str, bytes], *, items: int, text_tokens: int, speech_tokens: int) -> None:
        """Append one block: `members` by extension, and what they hold."""
        size = text_tokens + speech_tokens
        if self._stream is not None and self._tokens + size > self._shard_tokens:
            self._finish_shard()
        if self._stream is None:
            self._open_shard()
        key = f"{self._shard.removesuffix('.tar')}-{len(self._blocks):06d}"
        self._tar.write({"__key__": key, **members})
        # Offsets and checksums are filled in from the finished file, see `_finish_shard`.
        unplaced = {name: Member(0, len(payload), "") for name, payload in sorted(members.items())}
        self._blocks.append(
            BlockEntry(items=items, text_tokens=text_tokens, speech_tokens=speech_tokens, members=unplaced)
        )
        self._tokens += size

    def _open_shard(self) -> None:
        self._shard = f"{self._name}-{len(self._index.shards):06d}.tar"
        self._stream = (self._folder / self._shard).open("wb")
        # An integer mtime: a float would add a PAX header to every member and end byte-reproducibility.
        self._tar = TarWriter(self._stream, user="", group="", mode=0o444, mtime=0, encoder=False)
        self._blocks, self._tokens = [], 0

    def _finish_shard(self) -> None:
        if self._stream is None:
            return
        self._tar.close()
        self._stream.close()
        self._stream = None
        index = _locate_members(self._folder / self._shard, self._blocks)
        self._index.shards.append(
            ShardEntry(
                name=self._shard,
                items=sum(block.items for block in index.blocks),
                text_tokens=sum(block.text_tokens for block in index.blocks),
                speech_tokens=sum(block.speech_tokens for block in index.blocks),
                checksum=index.save(self._folder),
            )
        )


def _locate_members(path: Path, blocks: list[BlockEntry]) -> ShardIndex:
    """The sidecar of the finished tar at `path`, whose members stand in the order of `blocks`."""
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        found = iter(tar)
        placed = []
        for block in blocks:
            members = {}
            for name, unplaced in block.members.items():
                info = next(found)
                assert info.name.endswith("." + name) and info.size == unplaced.size, (info.name, name)
                start, end = Member(info.offset_data, info.size, "").span
                members[name] = Member(info.offset_data, info.size, xxhash.xxh3_64_hexdigest(view[start:end]))
            placed.append(
                BlockEntry(
                    items=block.items,
                    text_tokens=block.text_tokens,
                    speech_tokens=block.speech_tokens,
                    members=members,
                )
            )
        return ShardIndex(shard=path.name, num_bytes=len(view), blocks=placed)
