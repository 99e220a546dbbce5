"""Documents to rows of S + 1 tokens, in an order that depends on (seed, key) alone.

Every document gets an end-of-document id; `data.layout` says which piece goes where. Padding repeats that id, which
predicts nothing (see `data.batch`), so it carries no loss. Documents are gathered at random from memory maps. Price:
about 40 bytes of memory per document, and slow seeks where the input neither fits the page cache nor lies on a local
disk.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xxhash
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.config.tokens import PackConfig
from megatron_speech.data.block_folder import BlockFolder
from megatron_speech.data.block_writer import BlockWriter
from megatron_speech.data.layout import Layout, best_fit_rows, concat
from megatron_speech.data.rows import Ints, RowBlock, write_rows
from megatron_speech.data.shards import totals

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Where the documents to pack lie, in packing order; arrays [N]."""

    number: Ints
    """Position of the document in its folder."""
    shard: Ints
    """Its shard."""
    word: Ints
    """Its first token, in int32 words from the shard's start."""
    length: Ints
    """Tokens, the end-of-document id included."""
    target: Ints
    """First target token."""


def pack_folder(config: PackConfig) -> None:
    """Pack the document shards of `config.input` into `config.output`; what is already packed stays."""
    if is_made(config.output, kind="packed", config=config, inputs=[config.input]):
        log.info("%s is already made", config.output)
        return
    with make_artifact(config.output, kind="packed", config=config, inputs=[config.input]) as draft:
        draft.facts.update(pack_documents(draft.folder, config))
    facts = draft.facts
    share = facts["padding"] / (facts["rows"] * facts["seq_length"])
    log.info("%s: %s rows, %.2f%% padding", config.output, f"{facts['rows']:,}", 100 * share)


def pack_documents(output: Path, config: PackConfig) -> dict[str, Any]:
    """Pack into the folder `output`, which must not hold shards yet.

    Returns:
        Totals for a manifest: rows, tokens (labels) by modality, padding, documents, dropped, shards.

    Raises:
        ValueError: damage in the input, bare speech codes, or a document longer than a row under best_fit.
    """
    folder = BlockFolder(config.input, kind="documents")
    vocabulary = folder.vocabulary
    if not vocabulary.num_text_ids:
        raise ValueError(f"{config.input}: bare speech codes have no end-of-document id; build documents of them first")
    catalogue = catalogue_documents(folder, seed=config.seed)
    catalogue, dropped = _without_overlong(catalogue, config)
    packed = (concat if config.algorithm == "concat" else best_fit_rows)(catalogue.length, config.seq_length)
    num_rows = padding = 0
    with BlockWriter(
        output,
        name=config.name,
        kind="rows",
        vocabulary=vocabulary,
        seq_length=config.seq_length,
        shard_tokens=config.shard_tokens,
    ) as writer:
        total = int(catalogue.length.sum())
        with tqdm(total=total, desc=f"pack {config.name}", unit="tok", unit_scale=True) as bar:
            for layout in packed:
                block = _gather(folder, catalogue, layout, config.seq_length, vocabulary.end_of_document)
                write_rows(writer, block)
                num_rows += len(block.tokens)
                padding += int((config.seq_length + 1 - block.used).sum())
                bar.update(min(int(layout.size.sum()), total - int(bar.n)))  # neighbouring rows may share a token
        writer.facts.update(
            seq_length=config.seq_length,
            documents=len(catalogue.number),
            dropped=dropped,
            padding=padding,
            input=folder.index.checksum,
        )
    return totals(writer.index, vocabulary)


def catalogue_documents(folder: BlockFolder, *, seed: int) -> Catalogue:
    """List all documents, shuffled by a hash of (seed, key); every byte of the folder is verified on the way."""
    hashes, columns = [], []
    for shard in range(len(folder.index.shards)):
        for block in range(len(folder.shard(shard))):
            folder.member(shard, block, "tokens.i32")
            length = folder.array(shard, block, "lens.i32").astype(np.int64)
            word = folder.shard(shard).member(block, "tokens.i32").offset // 4 + np.cumsum(length) - length
            target = folder.array(shard, block, "target.i32")
            columns.append(np.stack([np.full_like(length, shard), word, length + 1, target]))
            lines = bytes(folder.member(shard, block, "meta.jsonl")).splitlines()
            keys = (orjson.loads(line)["key"] for line in lines)
            hashes.append(np.array([xxhash.xxh3_64_intdigest(key.encode(), seed=seed) for key in keys], np.uint64))
    order = np.argsort(np.concatenate(hashes), kind="stable")
    shards, words, lengths, targets = np.concatenate(columns, axis=1)[:, order]
    return Catalogue(number=order, shard=shards, word=words, length=lengths, target=targets)


def _gather(
    folder: BlockFolder, catalogue: Catalogue, layout: Layout, seq_length: int, end_of_document: int
) -> RowBlock:
    """Copy the pieces of a layout into rows that are padded with the end-of-document id."""
    tokens = np.full((layout.num_rows, seq_length + 1), end_of_document, np.int32)
    flat = tokens.reshape(-1)
    length, shard = catalogue.length[layout.document], catalogue.shard[layout.document]
    source = catalogue.word[layout.document] + layout.offset
    copied = np.minimum(layout.size, length - 1 - layout.offset)  # the last token is the end of document: already there
    target = layout.row * (seq_length + 1) + layout.at
    for number, word, place, size in zip(
        shard.tolist(), source.tolist(), target.tolist(), copied.tolist(), strict=True
    ):
        flat[place : place + size] = folder.words(number)[word : word + size]
    used = np.bincount(layout.row, weights=layout.size, minlength=layout.num_rows).astype(np.int64)
    spans = np.minimum(catalogue.target[layout.document] - layout.offset, layout.size)
    context = np.stack([layout.row, layout.at, layout.at + spans], axis=1)[spans > 0]
    return RowBlock(tokens=tokens, starts=_starts(catalogue, layout, used, seq_length), context=context, used=used)


def _starts(catalogue: Catalogue, layout: Layout, used: Ints, seq_length: int) -> Ints:
    """(row, first input, document number) of each piece that has an input, and of padding (-1)."""
    padded = np.flatnonzero(used < seq_length)
    row = np.concatenate([layout.row, padded])
    at = np.concatenate([layout.at, used[padded]])
    number = np.concatenate([catalogue.number[layout.document], np.full_like(padded, -1)])
    order = np.lexsort((at, row))
    starts = np.stack([row, at, number], axis=1)[order]
    return starts[starts[:, 1] < seq_length]


def _without_overlong(catalogue: Catalogue, config: PackConfig) -> tuple[Catalogue, int]:
    """Under best_fit, refuse or drop documents which do not fit into one row."""
    overlong = catalogue.length > config.seq_length + 1
    if config.algorithm == "concat" or not overlong.any():
        return catalogue, 0
    longest = int(catalogue.length.max()) - 1
    if config.overlong == "error":
        raise ValueError(
            f"{config.input}: {int(overlong.sum())} documents exceed seq_length={config.seq_length} (the longest has "
            f"{longest} tokens) and best_fit never cuts; raise seq_length or set overlong=drop"
        )
    if overlong.all():
        raise ValueError(f"{config.input}: every document exceeds seq_length={config.seq_length}; raise it")
    kept = {name: values[~overlong] for name, values in vars(catalogue).items()}
    log.warning("%s: dropped %d documents longer than a row", config.input, int(overlong.sum()))
    return Catalogue(**kept), int(overlong.sum())
