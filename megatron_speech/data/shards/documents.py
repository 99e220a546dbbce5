"""Writes token documents to shards, and reads them back.

A block holds many documents: ``tokens.i32`` (all tokens, one document after another), ``lens.i32`` and ``target.i32``
(each document's length and `target_start`), ``meta.jsonl`` (each document's key and metadata). Writing is streamed, so
memory is bounded by one block. Any WebDataset reader opens the tars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from megatron_speech.artifacts.facts.tokens import DocumentsFacts, IdsFacts
from megatron_speech.data.shards.block_folder import BlockFolder
from megatron_speech.data.shards.block_writer import BLOCK_TOKENS, SHARD_TOKENS, BlockWriter
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.vocabulary import Vocabulary

Facts = TypeVar("Facts")
BLOCK_DOCUMENTS = 1 << 16
"""Largest number of documents per block, even if they are short."""


def write_documents(
    folder: Path,
    documents: Iterable[TokenDocument],
    *,
    vocabulary: Vocabulary,
    name: str,
    shard_tokens: int = SHARD_TOKENS,
    allow_empty: bool = False,
) -> DocumentsFacts:
    """Write `documents` as shards ``<name>-<number>.tar``; equal documents give equal bytes.

    Args:
        allow_empty: accept an input without documents, as a folder without shards.

    Returns:
        Facts for a manifest.

    Raises:
        ValueError: a document is empty, or holds an id outside the vocabulary or the end-of-document id.
    """
    limit = min(BLOCK_TOKENS, shard_tokens)
    with BlockWriter(
        folder, name=name, kind="documents", vocabulary=vocabulary, shard_tokens=shard_tokens, allow_empty=allow_empty
    ) as writer:
        pending: list[TokenDocument] = []
        size = 0
        for document in documents:
            if pending and (size + len(document.tokens) > limit or len(pending) == BLOCK_DOCUMENTS):
                _write_block(writer, pending)
                pending, size = [], 0
            pending.append(document)
            size += len(document.tokens)
        if pending:
            _write_block(writer, pending)
    return documents_facts(writer.index, vocabulary)


def read_documents(folder: Path, *, vocabulary: Vocabulary | None = None) -> Iterator[TokenDocument]:
    """Yield every document in the order of writing; each block is checked against its checksums first.

    Raises:
        ValueError: a block is damaged (names file, member and offset), or `vocabulary` is not the folder's.
    """
    blocks = BlockFolder(folder, kind="documents", vocabulary=vocabulary)
    for shard in range(len(blocks.index.shards)):
        for block, items in enumerate(blocks.shard(shard).items.tolist()):
            tokens = blocks.array(shard, block, "tokens.i32").copy()
            ends = np.cumsum(blocks.array(shard, block, "lens.i32"), dtype=np.int64)
            targets = blocks.array(shard, block, "target.i32")
            lines = bytes(blocks.member(shard, block, "meta.jsonl")).splitlines()
            assert len(ends) == len(targets) == len(lines) == items
            for part, target, line in zip(np.split(tokens, ends[:-1]), targets.tolist(), lines, strict=True):
                record = orjson.loads(line)
                yield TokenDocument(key=record["key"], tokens=part, target_start=target, meta=record["meta"])


def documents_facts(index: FolderIndex, vocabulary: Vocabulary) -> DocumentsFacts:
    """Facts of a folder of documents."""
    return folder_facts(DocumentsFacts, index, vocabulary, documents=index.items)


def folder_facts(kind: Callable[..., Facts], index: FolderIndex, vocabulary: Vocabulary, **own: Any) -> Facts:
    """Facts of a folder of shards: counts, checksum and meaning of ids, and what its `kind` has of its `own`."""
    return kind(
        tokens=index.text_tokens + index.speech_tokens,
        text_tokens=index.text_tokens,
        speech_tokens=index.speech_tokens,
        shards=len(index.shards),
        checksum=index.checksum,
        vocabulary=_ids_facts(vocabulary),
        **own,
    )


def _ids_facts(vocabulary: Vocabulary) -> IdsFacts:
    """What the ids of a vocabulary mean, for a manifest."""
    return IdsFacts(
        fingerprint=vocabulary.fingerprint,
        text_tokenizer=vocabulary.text_fingerprint,
        speech_tokenizer=vocabulary.speech_fingerprint,
        text_ids=(0, vocabulary.num_text_ids),
        special_ids={token: vocabulary.special_id(token) for token in vocabulary.special_tokens},
        speech_ids=(vocabulary.speech_ids.start, vocabulary.speech_ids.stop),
        padded_size=vocabulary.padded_size,
    )


def _write_block(writer: BlockWriter, documents: list[TokenDocument]) -> None:
    lines = [orjson.dumps({"key": document.key, "meta": document.meta}) for document in documents]
    writer.write(
        {
            "tokens.i32": np.concatenate([document.tokens for document in documents]).astype("<i4").tobytes(),
            "lens.i32": np.array([len(document.tokens) for document in documents], "<i4").tobytes(),
            "target.i32": np.array([document.target_start for document in documents], "<i4").tobytes(),
            "meta.jsonl": b"\n".join(lines) + b"\n",
        }
    )
