"""Builds a block of rows from documents and a layout: copies tokens, marks document starts and context spans."""

from __future__ import annotations

import numpy as np

from megatron_speech.data.packing.document_folders import Ints
from megatron_speech.data.packing.layout import RowLayout
from megatron_speech.data.packing.shuffle import Documents
from megatron_speech.data.shards.rows import RowBlock


def row_block(documents: Documents, layout: RowLayout, *, seq_length: int, padding: int) -> RowBlock:
    """Build the rows that `layout` makes of `documents`, filled up with the id `padding`."""
    tokens = np.full((layout.num_rows, seq_length + 1), padding, np.int32)
    source = documents.begin[layout.document] + layout.offset
    target = layout.row * (seq_length + 1) + layout.at
    # Copy adjacent pieces at once: a copy of a few bytes costs as much as one of a few thousand.
    joins = (source[1:] == source[:-1] + layout.size[:-1]) & (target[1:] == target[:-1] + layout.size[:-1])
    begun = np.flatnonzero(np.append(True, ~joins))
    size = np.add.reduceat(layout.size, begun)
    copied, flat = documents.tokens.data, tokens.reshape(-1).data
    for origin, place, count in zip(source[begun].tolist(), target[begun].tolist(), size.tolist(), strict=True):
        flat[place : place + count] = copied[origin : origin + count]
    # Count the tokens before padding, and find the context (no targets) at the start of each piece.
    used = np.bincount(layout.row, weights=layout.size, minlength=layout.num_rows).astype(np.int64)
    context = np.minimum(documents.target[layout.document] - layout.offset, layout.size)
    return RowBlock(
        tokens=tokens,
        starts=_starts(documents, layout, used, seq_length),
        context=np.stack([layout.row, layout.at, layout.at + context], axis=1)[context > 0],
        used=used,
    )


def cut_tokens(documents: Documents, layout: RowLayout) -> Ints:
    """Tokens of `documents` at which a row ends inside a document, except at the document's first token.

    At its first token nothing is cut: the next row begins with the same token.
    """
    last = layout.offset + layout.size - 1
    cut = (last > 0) & (last < documents.length[layout.document] - 1)
    return (documents.begin[layout.document] + last)[cut]


def _starts(documents: Documents, layout: RowLayout, used: Ints, seq_length: int) -> Ints:
    """[n, 3] of (row, first input, document number) for each piece that has an input, and for padding (number -1)."""
    padded = np.flatnonzero(used < seq_length)
    row = np.concatenate([layout.row, padded])
    at = np.concatenate([layout.at, used[padded]])
    number = np.concatenate([documents.number[layout.document], np.full_like(padded, -1)])
    order = np.lexsort((at, row))
    starts = np.stack([row, at, number], axis=1)[order]
    return starts[starts[:, 1] < seq_length]
