"""Packs documents into rows of S + 1 tokens, in an order that depends only on the seed and the document keys.

`data.packing.shuffle` sorts the documents into that order in bounded memory, and appends an end-of-document id to each.
`data.packing.layout` decides where each piece goes. Padding repeats the end-of-document id, which predicts nothing (see
`data.reading.batch`), so it adds no loss. Memory, buckets, shards and their order do not affect the rows. Only the
stored document numbers refer to positions in the input.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from megatron_speech.artifacts.facts.tokens import PackedFacts, PackingFacts
from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.document_folders import DocumentBlock, DocumentFolders
from megatron_speech.data.packing.layout import NOWHERE, SpeechSpans, best_fit, concat
from megatron_speech.data.packing.row_block import cut_tokens, row_block
from megatron_speech.data.packing.shuffle import DOCUMENT_BYTES, SHARE, Buckets, Documents, num_buckets
from megatron_speech.data.packing.speech_spans import count_inside, speech_spans
from megatron_speech.data.shards.block_writer import BlockWriter
from megatron_speech.data.shards.documents import folder_facts
from megatron_speech.data.shards.rows import RowBlock, write_rows
from megatron_speech.progress import Progress

logger = logging.getLogger(__name__)

_ROW = "a row of seq_length={} has {:,}; raise it, or set overlong to drop or split"


def pack_shards(config: PackShardsConfig) -> None:
    """Pack the document shards of `config.input` into `config.output`; a finished output is kept."""
    identity = {name: value for name, value in to_dict(config).items() if name != "memory"}  # memory changes no row
    made = partial(is_made, config.output, kind="packed", config=identity, inputs=config.inputs)
    if made():
        logger.info("%s is already made", config.output)
        return
    with alone(config.output):
        if made():
            logger.info("%s was made by another process", config.output)
            return
        with make_artifact(config.output, kind="packed", config=identity, inputs=config.inputs) as draft:
            facts = draft.facts = pack_documents(draft.folder, config)
    logger.info("%s: %s rows, %.2f%% full", config.output, f"{facts.rows:,}", 100 * facts.fill)
    shown = (f"{count:,}" for count in (facts.documents, facts.dropped, facts.cuts, facts.cut_spans))
    logger.info("%s documents (%s left out), %s cuts inside documents, %s of them inside speech", *shown)


def pack_documents(output: Path, config: PackShardsConfig) -> PackedFacts:
    """Pack into the folder `output`, which must not hold shards yet.

    Returns:
        Facts for a manifest.

    Raises:
        ValueError: the input is damaged, repeats a key or holds bare speech codes. With overlong=error also if no row
            can hold a document or a speech span.
    """
    source = DocumentFolders(config.inputs)
    vocabulary = source.vocabulary
    if not vocabulary.num_text_ids:
        what = "bare speech codes have no end-of-document id; build documents of them first"
        raise ValueError(f"{_names(config)}: {what}")
    if not source.num_documents:
        raise ValueError(f"{_names(config)}: no document to pack; check the stage before")
    if config.algorithm == "best_fit" and config.overlong == "error":
        _require_fitting(source, config)
    count = num_buckets(source, config.memory)
    writer = BlockWriter(
        output,
        name=config.name,
        kind="rows",
        vocabulary=vocabulary,
        seq_length=config.seq_length,
        shard_tokens=config.shard_tokens,
    )
    with writer, Buckets(output / "shuffle", count=count, end_of_document=vocabulary.end_of_document) as buckets:
        documents, tokens = _distribute(source, buckets, config)  # pass 1; pass 2 packs bucket by bucket
        counts: Counter[str] = Counter()
        with Progress(f"pack_shards {config.name}: pack", unit="tokens", total=tokens) as progress:
            for block, cuts, cut_spans in _row_blocks(source, buckets, config):
                write_rows(writer, block)
                counts["rows"] += len(block.tokens)
                counts["padding"] += block.tokens.size - int(block.used.sum())
                counts["cuts"] += cuts
                counts["cut_spans"] += cut_spans
                progress.add(min(int(block.used.sum()), tokens - progress.done))  # rows may share tokens
        fill = 1 - counts["padding"] / (counts["rows"] * config.seq_length)
        writer.facts = PackingFacts(
            seq_length=config.seq_length,
            documents=documents,
            dropped=source.num_documents - documents,
            **{name: counts[name] for name in ("padding", "cuts", "cut_spans")},
            fill=round(fill, 6),
            input=source.checksum,
        )
    return folder_facts(PackedFacts, writer.index, vocabulary, rows=writer.index.items, **vars(writer.facts))


def _names(config: PackShardsConfig) -> str:
    return ", ".join(map(str, config.inputs))


def _require_fitting(source: DocumentFolders, config: PackShardsConfig) -> None:
    """Raise ValueError before the work begins if documents exceed a row; names the first one and their number."""
    room = config.seq_length + 1
    before = overlong = longest = 0
    first: tuple[int, int] | None = None
    for length_N in source.lengths():
        needed_N = length_N + 1  # with the end-of-document id
        too_long = np.flatnonzero(needed_N > room)
        if len(too_long) and first is None:
            first = before + int(too_long[0]), int(needed_N[too_long[0]])
        overlong, longest = overlong + len(too_long), max(longest, int(needed_N.max(initial=0)))
        before += len(length_N)
    if first is None:
        return
    key, place = source.describe(first[0])
    row = _ROW.format(config.seq_length, room)
    many = f"; {overlong:,} of {before:,} documents are too long, the longest takes {longest:,}"
    raise ValueError(f"{place}, {key!r}: it takes {first[1]:,} tokens where {row}{many if overlong > 1 else ''}")


def _distribute(source: DocumentFolders, buckets: Buckets, config: PackShardsConfig) -> tuple[int, int]:
    """Write all documents to their buckets, a share of the memory at a time; returns (documents, tokens)."""
    pending: list[DocumentBlock] = []
    size = documents = tokens = 0
    with Progress(f"pack_shards {config.name}: shuffle", unit="tokens", total=source.num_tokens) as progress:
        for block in source.blocks(seed=config.seed):
            progress.add(len(block.tokens))
            size += block.tokens.nbytes + DOCUMENT_BYTES * len(block.length)
            held = _without_overlong(block, source, config)
            documents += len(held.length)
            tokens += int(held.length.sum()) + len(held.length)
            pending.append(held)
            if size > config.memory // SHARE:
                buckets.append(pending)
                source.release()
                pending, size = [], 0
    buckets.append(pending)
    source.release()
    if not documents:
        raise ValueError(f"{_names(config)}: no document fits into rows of seq_length={config.seq_length}; raise it")
    return documents, tokens


def _without_overlong(block: DocumentBlock, source: DocumentFolders, config: PackShardsConfig) -> DocumentBlock:
    """Drop documents that no row can hold (overlong=drop), or raise ValueError for one with such a speech span."""
    if config.overlong == "split":
        return block
    longest = block.length + 1 if config.algorithm == "best_fit" else np.zeros_like(block.length)
    if not config.cut_speech_spans:
        first, last = speech_spans(block.tokens, block.begin, source.vocabulary)
        np.maximum.at(longest, np.searchsorted(block.begin, first, side="right") - 1, last - first + 1)
    overlong = longest > config.seq_length + 1
    if config.overlong == "drop" or not overlong.any():
        return block.select(~overlong)
    key, place = source.describe(int(block.number[np.argmax(overlong)]))
    row = _ROW.format(config.seq_length, config.seq_length + 1)
    raise ValueError(f"{place}, {key!r}: a speech span of it takes {int(longest[overlong][0]):,} tokens where {row}")


def _row_blocks(
    source: DocumentFolders, buckets: Buckets, config: PackShardsConfig
) -> Iterator[tuple[RowBlock, int, int]]:
    """Yield (rows, number that end inside a document, number that end inside a speech span), in order."""
    vocabulary = source.vocabulary
    lay_out = concat if config.algorithm == "concat" else best_fit
    rest = Documents.none()
    for number in range(buckets.count):
        documents = buckets.read(number, after=rest, source=source)
        rest = Documents.none()
        spans = NOWHERE
        if not config.cut_speech_spans:
            first, last = speech_spans(documents.tokens, documents.begin, vocabulary)
            spans = SpeechSpans(first.tolist(), last.tolist())
        done = 0
        for layout in lay_out(documents.length, config.seq_length, spans=spans, last=number == buckets.count - 1):
            cuts = cut_tokens(documents, layout)
            block = row_block(documents, layout, seq_length=config.seq_length, padding=vocabulary.end_of_document)
            yield block, len(cuts), count_inside(documents.tokens, cuts, vocabulary)
            done = layout.next_token
        rest = documents.rest(done)
        del documents, spans  # free them before the next bucket is read
