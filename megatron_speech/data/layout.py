"""Which piece of which document goes where in a row: arithmetic on lengths, no tokens.

`concat` lays all documents end to end and cuts the stream every S tokens; neighbouring rows share one token, the last
label of one and the first input of the next, so every token is a label exactly once; only the last row is padded.
`best_fit_rows` never cuts a document: within windows of documents, longest first, each goes into the fullest row that
has room (best-fit decreasing, as in arXiv 2404.10830). Price: its rows are padded, by 1 % or so for short documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from megatron_speech.data.block_writer import BLOCK_TOKENS
from megatron_speech.data.rows import Ints

WINDOW = 1 << 16
"""Documents that best-fit chooses among; more would save no measurable padding."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Pieces of documents in consecutive rows, in order; arrays [n]."""

    num_rows: int
    row: Ints
    """Row of the piece, from 0."""
    at: Ints
    """Its first position in the row, 0 .. S."""
    document: Ints
    """Index into the lengths."""
    offset: Ints
    """Its first token in the document."""
    size: Ints
    """Tokens."""


def concat(lengths: Ints, seq_length: int) -> Iterator[Layout]:
    """Cut the stream of all documents; row r holds its tokens r*S .. r*S + S."""
    end = np.cumsum(lengths)
    begin = end - lengths
    total_rows = -(-(int(end[-1]) - 1) // seq_length)
    step = _rows_per_block(seq_length)
    for first_row in range(0, total_rows, step):
        num_rows = min(step, total_rows - first_row)
        origin = first_row * seq_length
        low = int(np.searchsorted(end, origin, side="right"))
        high = int(np.searchsorted(begin, origin + num_rows * seq_length, side="right"))
        starts, ends = begin[low:high] - origin, end[low:high] - origin
        first = np.maximum(starts - 1, 0) // seq_length  # the row whose last label is the first token
        last = np.minimum((ends - 1) // seq_length, num_rows - 1)
        counts = last - first + 1
        which = np.repeat(np.arange(high - low), counts)
        row = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        left = np.maximum(starts[which], row * seq_length)
        right = np.minimum(ends[which], row * seq_length + seq_length + 1)
        order = np.lexsort((left, row))
        yield Layout(
            num_rows=num_rows,
            row=row[order],
            at=(left - row * seq_length)[order],
            document=(which + low)[order],
            offset=(left - starts[which])[order],
            size=(right - left)[order],
        )


def best_fit_rows(lengths: Ints, seq_length: int) -> Iterator[Layout]:
    """Whole documents only, packed window by window."""
    step = _rows_per_block(seq_length)
    for low in range(0, len(lengths), WINDOW):
        bins = best_fit(lengths[low : low + WINDOW], seq_length + 1)
        for first in range(0, len(bins), step):
            rows = bins[first : first + step]
            document = np.concatenate(rows).astype(np.int64) + low
            row = np.repeat(np.arange(len(rows)), [len(members) for members in rows])
            size = lengths[document]
            end = np.cumsum(size)
            row_origin = (end - size)[np.searchsorted(row, row)]
            yield Layout(
                num_rows=len(rows),
                row=row,
                at=end - size - row_origin,
                document=document,
                offset=np.zeros_like(document),
                size=size,
            )


def best_fit(lengths: Ints, capacity: int) -> list[list[int]]:
    """Partition documents into bins of at most `capacity` tokens, longest first into the fullest bin with room.

    Returns the bins as sorted lists of positions in `lengths`, ordered by their first one. The rooms in use are the
    bits of one integer, so that finding the smallest sufficient room is a shift and a mask.
    """
    bins: list[list[int]] = []
    open_bins: list[list[int]] = [[] for _ in range(capacity + 1)]  # by room left
    rooms = 0
    for position in np.argsort(-lengths, kind="stable").tolist():
        need = int(lengths[position])
        sufficient = rooms >> need
        if sufficient:
            room = need + (sufficient & -sufficient).bit_length() - 1
            index = open_bins[room].pop()
            if not open_bins[room]:
                rooms ^= 1 << room
            bins[index].append(position)
        else:
            assert need <= capacity, f"document of {need} tokens in a row of {capacity}"
            room, index = capacity, len(bins)
            bins.append([position])
        open_bins[room - need].append(index)
        rooms |= 1 << (room - need)
    return sorted(sorted(members) for members in bins)


def _rows_per_block(seq_length: int) -> int:
    return max(1, BLOCK_TOKENS // (seq_length + 1))
