"""Writes folders of WebDataset tars, block by block.

A shard is a plain USTAR tar with fixed times and owners, so equal content gives equal bytes. One WebDataset sample is a
block of many documents or rows, about 4 MiB. A tar member per document would cost more than the document itself. Every
block is checked when it is written, so a finished folder can be trained on. Limitation: a folder is written once, as a
whole; nothing is appended later.
"""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import xxhash

from megatron_speech.artifacts.facts.tokens import PackingFacts
from megatron_speech.artifacts.manifest import PARTIAL
from megatron_speech.data.shards.contents import MEMBERS, examine
from megatron_speech.data.shards.index import FolderIndex, ShardEntry
from megatron_speech.data.shards.sidecar import BLOCK, MEMBER, TAR_BLOCK, Kind, ShardIndex
from megatron_speech.data.shards.tar_blocks import header, member_info
from megatron_speech.storage.interface import FOLDER_INDEX
from megatron_speech.vocabulary import Vocabulary

SHARD_TOKENS = 1 << 28
"""Default number of tokens per shard: 1 GiB of int32."""
BLOCK_TOKENS = 1 << 20
"""Default number of tokens per block: 4 MiB of int32."""


class BlockWriter:
    """Writes blocks into numbered shards of `folder`; a context manager that finishes the folder only on success."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        kind: Kind,
        vocabulary: Vocabulary,
        seq_length: int = 0,
        shard_tokens: int = SHARD_TOKENS,
        allow_empty: bool = False,
    ) -> None:
        """Remove shards of a failed attempt and prepare the folder.

        Args:
            allow_empty: accept a folder without shards, which is a ValueError otherwise.

        Raises:
            ValueError: `name` cannot begin a file name.
            FileExistsError: the folder already holds finished shards.
        """
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,59}", name):
            raise ValueError(
                f"name={name!r} must be 1 to 60 letters, digits, _ or (not first) -: it begins shards' names; rename it"
            )
        if (folder / FOLDER_INDEX).exists() and folder.suffix != PARTIAL:
            raise FileExistsError(f"{folder} already holds finished shards; remove it or choose another output")
        folder.mkdir(parents=True, exist_ok=True)
        # Left by an attempt that failed or was killed.
        (folder / FOLDER_INDEX).unlink(missing_ok=True)
        for stale in [*folder.glob(f"{name}-*.tar"), *folder.glob(f"{name}-*.mspx")]:
            stale.unlink()
        vocabulary.save(folder / "vocabulary.json")
        self.facts = PackingFacts()
        self._folder, self._name, self._vocabulary, self._shard_tokens = folder, name, vocabulary, shard_tokens
        self._allow_empty = allow_empty
        self._index = FolderIndex(kind=kind, vocabulary=vocabulary.fingerprint, seq_length=seq_length, shards=[])
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            if self._tar is not None:
                self._tar.close()
            return
        self._finish_shard()
        if not self._index.shards and not self._allow_empty:
            raise ValueError(f"{self._folder}: nothing to write: the input holds no documents; check the stage before")
        self._index = replace(self._index, facts=self.facts)
        self._index.save(self._folder)

    @property
    def index(self) -> FolderIndex:
        """Index of the folder; complete after the context has ended."""
        return self._index

    def write(self, members: dict[str, bytes]) -> None:
        """Append one block, given as payloads by member name; ValueError explains why it cannot be trained on."""
        kind, seq_length = self._index.kind, self._index.seq_length
        found = examine(kind, members, vocabulary=self._vocabulary, seq_length=seq_length)
        if found.faults:
            raise ValueError(found.faults[0].what)
        size = found.text_tokens + found.speech_tokens
        if self._tar is not None and self._tokens + size > self._shard_tokens:
            self._finish_shard()
        tar = self._tar or self._open_shard()
        placed = [self._add(tar, name, members[name]) for name in MEMBERS[kind]]
        self._members.append(placed)
        self._blocks.append((found.items, found.text_tokens, found.speech_tokens))
        self._tokens += size

    def _add(self, tar: tarfile.TarFile, name: str, payload: bytes) -> tuple[int, int, int]:
        """Append a member to the tar; returns its offset, size and checksum."""
        info = member_info(self._shard, len(self._blocks), name, len(payload))
        digest = xxhash.xxh3_64(header(info))
        digest.update(payload)
        digest.update(bytes(-len(payload) % TAR_BLOCK))
        offset = tar.offset + TAR_BLOCK
        tar.addfile(info, io.BytesIO(payload))
        return offset, len(payload), digest.intdigest()

    def _open_shard(self) -> tarfile.TarFile:
        self._shard = f"{self._name}-{len(self._index.shards):06d}.tar"
        # Write each payload at once: the page cache then holds it in large pieces, which halves the time of pread.
        self._tar = tarfile.TarFile(self._folder / self._shard, "w", format=tarfile.USTAR_FORMAT, copybufsize=1 << 26)
        self._blocks: list[tuple[int, int, int]] = []
        self._members: list[list[tuple[int, int, int]]] = []
        self._tokens = 0
        return self._tar

    def _finish_shard(self) -> None:
        if self._tar is None:
            return
        self._tar.close()
        self._tar = None
        shard = ShardIndex(
            shard=self._shard,
            kind=self._index.kind,
            vocabulary=self._index.vocabulary,
            seq_length=self._index.seq_length,
            num_bytes=(self._folder / self._shard).stat().st_size,
            names=MEMBERS[self._index.kind],
            blocks=np.array(self._blocks, BLOCK),
            members=np.array(self._members, MEMBER),
        )
        shard.save(self._folder)
        self._index.shards.append(ShardEntry.of(shard))
