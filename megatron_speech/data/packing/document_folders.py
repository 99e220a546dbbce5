"""Reads folders of document shards as one checked input, from front to back, without holding them in memory.

Shards are memory maps, and mapped pages count as memory of this process; `release` returns them. Cost: `describe` finds
one document by reading the keys of its shard up to it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from megatron_speech.data.shards.block_folder import BlockFolder
from megatron_speech.randomness import xxh3_numbers
from megatron_speech.vocabulary import Vocabulary

Ints = NDArray[np.int64]
TokenIds = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class DocumentBlock:
    """Documents of one block of a shard; arrays [n] hold one value per document."""

    tokens: TokenIds
    """Tokens of the whole block, without end-of-document ids; a view of the shard."""
    begin: Ints
    """[n] index of each document's first token in `tokens`."""
    length: Ints
    """[n] number of tokens."""
    target: Ints
    """[n] index of the first target token within the document."""
    hash: NDArray[np.uint64]
    """[n] hash of (seed, key), which decides the packing order."""
    number: Ints
    """[n] position in the input, counted over all folders."""

    def select(self, which: NDArray[np.bool_]) -> DocumentBlock:
        """Keep the documents where `which` is true; `tokens` stays whole."""
        arrays = {name: values[which] for name, values in vars(self).items() if name != "tokens"}
        return dataclasses.replace(self, **arrays)


class DocumentFolders:
    """Document folders with one vocabulary; raises ValueError if their vocabularies differ."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [BlockFolder(folder, kind="documents") for folder in folders]
        self.vocabulary: Vocabulary = self._folders[0].vocabulary
        for folder in self._folders:
            if folder.index.vocabulary != self.vocabulary.fingerprint:
                raise ValueError(
                    f"{folder.folder} is of vocabulary {folder.index.vocabulary[:12]} and {folders[0]} of "
                    f"{self.vocabulary.fingerprint[:12]}; make one of them again with the other's vocabulary"
                )
        self.num_documents = sum(folder.index.items for folder in self._folders)
        self.num_tokens = sum(folder.index.text_tokens + folder.index.speech_tokens for folder in self._folders)

    @property
    def checksum(self) -> str:
        """Identity of every byte of the input."""
        return "+".join(folder.index.checksum for folder in self._folders)

    def blocks(self, *, seed: int) -> Iterator[DocumentBlock]:
        """Yield all blocks in input order, each checked against its checksums."""
        first = 0
        for folder in self._folders:
            for shard in range(len(folder.index.shards)):
                for block in range(len(folder.shard(shard).blocks)):
                    length = folder.array(shard, block, "lens.i32").astype(np.int64)
                    yield DocumentBlock(
                        tokens=folder.array(shard, block, "tokens.i32"),
                        begin=np.cumsum(length) - length,
                        length=length,
                        target=folder.array(shard, block, "target.i32").astype(np.int64),
                        hash=xxh3_numbers(_keys(folder, shard, block), seed=seed),
                        number=np.arange(first, first + len(length)),
                    )
                    first += len(length)

    def lengths(self) -> Iterator[Ints]:
        """Yield the token counts of each block's documents; reads no tokens."""
        for folder in self._folders:
            for shard in range(len(folder.index.shards)):
                for block in range(len(folder.shard(shard).blocks)):
                    yield folder.array(shard, block, "lens.i32").astype(np.int64)

    def release(self) -> None:
        """Return the memory of mapped pages; views stay valid and reload their pages on access."""
        for folder in self._folders:
            folder.release()

    def describe(self, number: int) -> tuple[str, str]:
        """Key and location of document `number` of the input, for error messages; slow."""
        which, number = _locate([folder.index.items for folder in self._folders], number)
        folder = self._folders[which]
        shard, within = _locate([entry.items for entry in folder.index.shards], number)
        in_blocks = (_keys(folder, shard, block) for block in range(len(folder.shard(shard).blocks)))
        key = next(itertools.islice(itertools.chain.from_iterable(in_blocks), within, None))
        return key, f"document {number:,} of {folder.folder}"


def _keys(folder: BlockFolder, shard: int, block: int) -> list[str]:
    lines = bytes(folder.member(shard, block, "meta.jsonl")).splitlines()
    return [orjson.loads(line)["key"] for line in lines]


def _locate(counts: Sequence[int], number: int) -> tuple[int, int]:
    """Find item `number` among consecutive groups of `counts` items: (group, index within the group)."""
    end = np.cumsum(counts)
    holder = int(np.searchsorted(end, number, side="right"))
    return holder, number - int(end[holder]) + counts[holder]
