"""Hand shards to megatron-core as `IndexedDataset`s without copying a token.

A ``.bin`` may hold anything between its sequences, as its ``.idx`` points at each of them; so the tar is the ``.bin``,
by a link. Of document shards every document is a sequence (without an end-of-document id, which packing appends), of
packed shards every row. Price: a shard is only seen to be there with its size; ids are
not read on the way, nor ever checked there, so run tools/verify_shards.py first.
"""

from __future__ import annotations

import logging
import os
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.stages.shards import ExportIndexedDatasetConfig
from megatron_speech.data.shards.block_folder import BlockFolder
from megatron_speech.data.shards.index import FolderIndex

logger = logging.getLogger(__name__)

_MAGIC, _VERSION, _INT32 = b"MMIDIDX\0\0", 1, 4


def export_indexed_dataset(config: ExportIndexedDatasetConfig) -> None:
    """Make ``<shard>.idx`` and ``<shard>.bin`` of every shard; ValueError names damage in what is read of it."""
    if is_made(config.output, kind="indexed_dataset", config=config, inputs=[config.input]):
        logger.info("%s is already made", config.output)
        return
    folder = BlockFolder(config.input, kind=FolderIndex.load(config.input).kind)
    with make_artifact(config.output, kind="indexed_dataset", config=config, inputs=[config.input]) as draft:
        for number, entry in enumerate(tqdm(folder.index.shards, desc="export", unit="shard")):
            stem = entry.name.removesuffix(".tar")
            (draft.folder / f"{stem}.idx").write_bytes(_index(*_sequences(folder, number)))
            link = draft.folder / f"{stem}.bin"
            link.unlink(missing_ok=True)  # of an attempt that did not finish
            link.symlink_to(os.path.relpath(config.input / entry.name, config.output))
        draft.facts.update(sequences=folder.index.items, shards=len(folder.index.shards))
    logger.info("%s: %s sequences", config.output, f"{folder.index.items:,}")


def _sequences(folder: BlockFolder, shard: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Length of each document or row in tokens, and its first byte in the tar."""
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
    """The ``.idx`` of sequences which are documents of their own."""
    head = _MAGIC + struct.pack("<QBQQ", _VERSION, _INT32, len(lengths), len(lengths) + 1)
    documents = np.arange(len(lengths) + 1)
    return head + lengths.astype("<i4").tobytes() + starts.astype("<i8").tobytes() + documents.astype("<i8").tobytes()
