"""Exports shards to megatron-core as `IndexedDataset`s, without copying tokens.

A ``.bin`` may contain anything between its sequences, because the ``.idx`` gives the offset of each one. So the
``.bin`` is a link to the tar. Each document (without an end-of-document id) or each packed row is a sequence.
Limitation: the export checks only that a shard exists with its size, and megatron-core checks no ids. Run
`verify_shards` first.
"""

from __future__ import annotations

import logging
import os
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megatron_speech.artifacts.facts.tokens import IndexedDatasetFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.inspection.shards import ExportIndexedDatasetConfig
from megatron_speech.data.shards.block_folder import BlockFolder
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.progress import follow

logger = logging.getLogger(__name__)

_MAGIC, _VERSION, _INT32 = b"MMIDIDX\0\0", 1, 4


def export_indexed_dataset(config: ExportIndexedDatasetConfig) -> None:
    """Write ``<shard>.idx`` and link ``<shard>.bin`` for every shard; ValueError names damage in the bytes it reads."""
    if is_made(config.output, kind="indexed_dataset", config=config, inputs=[config.input]):
        logger.info("%s is already made", config.output)
        return
    folder = BlockFolder(config.input, kind=FolderIndex.load(config.input).kind)
    with make_artifact(config.output, kind="indexed_dataset", config=config, inputs=[config.input]) as draft:
        shards = follow(folder.index.shards, f"export_indexed_dataset {config.input.name}", unit="shards")
        for number, entry in enumerate(shards):
            stem = entry.name.removesuffix(".tar")
            (draft.folder / f"{stem}.idx").write_bytes(_index(*_sequences(folder, number)))
            link = draft.folder / f"{stem}.bin"
            link.unlink(missing_ok=True)  # left by a killed attempt
            link.symlink_to(os.path.relpath(config.input / entry.name, config.output))
        draft.facts = IndexedDatasetFacts(sequences=folder.index.items, shards=len(folder.index.shards))
    logger.info("%s: %s sequences", config.output, f"{folder.index.items:,}")


def _sequences(folder: BlockFolder, shard: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Number of tokens of each document or row, and its first byte in the tar."""
    folder.require_whole(shard)
    lengths, starts = [], []
    for block, items in enumerate(folder.shard(shard).items.tolist()):
        if folder.index.kind == "documents":
            length = folder.array(shard, block, "lens.i32").astype(np.int64)
        else:
            length = np.full(items, folder.index.seq_length + 1, np.int64)
        lengths.append(length)
        starts.append(folder.shard(shard).member(block, "tokens.i32").offset + 4 * (np.cumsum(length) - length))
    return np.concatenate(lengths), np.concatenate(starts)


def _index(lengths: NDArray[Any], starts: NDArray[Any]) -> bytes:
    """Content of the ``.idx``; every sequence is a document."""
    head = _MAGIC + struct.pack("<QBQQ", _VERSION, _INT32, len(lengths), len(lengths) + 1)
    documents = np.arange(len(lengths) + 1)
    return head + lengths.astype("<i4").tobytes() + starts.astype("<i8").tobytes() + documents.astype("<i8").tobytes()
