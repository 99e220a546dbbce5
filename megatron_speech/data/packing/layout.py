"""Which piece of which document goes where in a row: arithmetic on lengths, no tokens.

`concat` lays all documents end to end and cuts the stream every S tokens; neighbouring rows share one token, the last
label of one and the first input of the next, so every token is a label exactly once; only the last row is padded, and
rows that end early so as not to cut a speech span. `best_fit` cuts no document that fits into a row: within windows of
documents, longest first, each goes into the fullest row that has room (best-fit decreasing, as in arXiv 2404.10830).
Price: its rows are padded, by 1 % or so for short documents.

Both are fed documents in batches of any size and lay out only what no later document can change, so that the rows do
not depend on the batches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from megatron_speech.data.packing.document_folders import Ints
from megatron_speech.data.shards.block_writer import BLOCK_TOKENS

WINDOW_TOKENS, WINDOW_ROWS, WINDOW_DOCUMENTS = 1 << 22, 64, 1 << 16
"""Best-fit chooses among so many tokens, but at least so many rows, and at most so many documents: 16 MiB for rows up
to 64k tokens; sixteen times as many would save 0.2 % of padding in rows of 8k."""
CHUNK = 512
"""Sizes of free room that best-fit looks up at once."""


class SpeechSpans(NamedTuple):
    """What rows must not end inside of, in the order of the batch; empty where they may end anywhere."""

    first: list[int]
    """First token of each span."""
    last: list[int]
    """Last token of each."""


NOWHERE = SpeechSpans([], [])


@dataclass(frozen=True, kw_only=True)
class RowLayout:
    """Pieces of documents in consecutive rows, in order; arrays [n]."""

    num_rows: int
    """Rows."""
    next_word: int
    """Token of the batch at which the row after these begins."""
    row: Ints
    """Row of the piece, from 0."""
    at: Ints
    """Its first position in the row, 0 .. S."""
    document: Ints
    """Its document in the batch."""
    offset: Ints
    """Its first token in the document."""
    size: Ints
    """Tokens."""


def concat(length: Ints, seq_length: int, *, spans: SpeechSpans, last: bool) -> Iterator[RowLayout]:
    """Cut the stream of the batch's documents; full blocks of rows, and all the rest if it is the `last` batch."""
    end = np.cumsum(length)
    begin = end - length
    starts = row_starts(0, int(length.sum()), seq_length, spans)
    step = _rows_per_block(seq_length)
    if last:
        starts.append(int(length.sum()) - 1)
    else:
        del starts[(len(starts) - 1) // step * step + 1 :]
    for low in range(0, len(starts) - 1, step):
        edges = np.array(starts[low : low + step + 1])
        first_token, last_token = edges[:-1], edges[1:]
        document = np.searchsorted(end, first_token, side="right")
        counts = np.searchsorted(end, last_token, side="right") - document + 1
        row = np.repeat(np.arange(len(counts)), counts)
        document = np.arange(len(row)) + np.repeat(document - np.cumsum(counts) + counts, counts)
        left = np.maximum(begin[document], first_token[row])
        yield RowLayout(
            num_rows=len(counts),
            next_word=int(last_token[-1]),
            row=row,
            at=left - first_token[row],
            document=document,
            offset=left - begin[document],
            size=np.minimum(end[document], last_token[row] + 1) - left,
        )


def best_fit(length: Ints, seq_length: int, *, spans: SpeechSpans, last: bool) -> Iterator[RowLayout]:
    """Whole documents, longer ones in pieces; full windows of them, and all the rest if it is the `last` batch."""
    end = np.cumsum(length)
    window, low = max(WINDOW_TOKENS, WINDOW_ROWS * seq_length), 0
    while low < len(length):
        filled = int(np.searchsorted(end, window + end[low] - length[low])) + 1
        high = min(filled, low + WINDOW_DOCUMENTS)
        if high > len(length) and not last:
            return
        high = min(high, len(length))
        yield from _window(low, high, length, end, seq_length, spans)
        low = high


def _window(low: int, high: int, length: Ints, end: Ints, seq_length: int, spans: SpeechSpans) -> Iterator[RowLayout]:
    """Best-fit among the documents low .. high - 1."""
    document, offset, size = np.arange(low, high), np.zeros(high - low, np.int64), length[low:high]
    need = size
    if (size > seq_length + 1).any():
        document, offset, size, need = _split(document, end, length, seq_length, spans)
    bins = fit(need, seq_length + 1)
    step = _rows_per_block(seq_length)
    for first in range(0, len(bins), step):
        rows = bins[first : first + step]
        counts = [len(members) for members in rows]
        piece = np.fromiter(chain.from_iterable(rows), np.int64, sum(counts))
        row = np.repeat(np.arange(len(rows)), counts)
        behind = np.cumsum(size[piece])
        at = behind - size[piece]
        yield RowLayout(
            num_rows=len(rows),
            next_word=int(end[high - 1]),
            row=row,
            at=at - at[np.searchsorted(row, row)],
            document=document[piece],
            offset=offset[piece],
            size=size[piece],
        )


def _split(
    document: Ints, end: Ints, length: Ints, seq_length: int, spans: SpeechSpans
) -> tuple[Ints, Ints, Ints, Ints]:
    """(document, offset, size, room needed) of each piece; all pieces of a document but its last need a whole row.

    What follows a piece without end of document in its row would be taken for its continuation.
    """
    too_long = length[document] > seq_length + 1
    pieces = []
    for which in document[too_long].tolist():
        stop = int(end[which])
        begin = stop - int(length[which])
        starts = row_starts(begin, stop, seq_length, spans)
        sizes = [last - first + 1 for first, last in pairwise([*starts, stop - 1])]
        needs = [seq_length + 1] * (len(sizes) - 1) + sizes[-1:]
        pieces += [(which, start - begin, *rest) for start, *rest in zip(starts, sizes, needs, strict=True)]
    whole = document[~too_long]
    uncut = np.stack([whole, np.zeros_like(whole), length[whole], length[whole]])
    found = np.concatenate([uncut, np.array(pieces, np.int64).T], axis=1)
    document, offset, size, need = found[:, np.argsort(found[0], kind="stable")]
    return document, offset, size, need


def row_starts(begin: int, end: int, seq_length: int, spans: SpeechSpans) -> list[int]:
    """Where rows begin that hold the tokens begin .. end - 1; each ends with the first token of the next."""
    if not spans.first:
        return list(range(begin, end - 1, seq_length))
    starts = [begin]
    while end - 1 - starts[-1] > seq_length:
        starts.append(_row_end(starts[-1], seq_length, spans))
    return starts


def _row_end(start: int, seq_length: int, spans: SpeechSpans) -> int:
    """Last token of the row that begins at `start`: the S-th, or the first one of a span around it that fits a row."""
    full = start + seq_length
    before = bisect_left(spans.first, full) - 1
    if before < 0 or spans.last[before] <= full or spans.first[before] <= start:
        return full
    # One short of a full row, no boundary could be noted behind its last input, which then would predict padding.
    return spans.first[before] - (spans.first[before] == full - 1)


def fit(need: Ints, capacity: int) -> list[list[int]]:
    """Partition pieces into bins of at most `capacity` tokens, longest first into the fullest bin with room.

    Returns the bins as sorted lists of positions in `need`, ordered by their first one. The rooms in use are bits, in
    chunks: finding the smallest sufficient room is a shift and a mask in its chunk, or in the list of chunks.
    """
    bins: list[list[int]] = []
    open_bins: defaultdict[int, list[int]] = defaultdict(list)  # by room left
    chunks = [0] * (capacity // CHUNK + 1)
    used_chunks = 0
    order = np.argsort(-need, kind="stable")
    for position, size in zip(order.tolist(), need[order].tolist(), strict=True):
        chunk = size // CHUNK
        if sufficient := chunks[chunk] >> size % CHUNK:
            room = size + (sufficient & -sufficient).bit_length() - 1
            found = open_bins[room]
        elif larger := used_chunks >> chunk + 1:
            chunk += (larger & -larger).bit_length()
            room = chunk * CHUNK + (chunks[chunk] & -chunks[chunk]).bit_length() - 1
            found = open_bins[room]
        else:
            assert size <= capacity, f"piece of {size} tokens in a row of {capacity}"
            room, found = capacity, [len(bins)]
            bins.append([])
        index = found.pop()
        if not found:
            chunks[room // CHUNK] &= ~(1 << room % CHUNK)
            if not chunks[room // CHUNK]:
                used_chunks &= ~(1 << room // CHUNK)
        bins[index].append(position)
        room -= size
        open_bins[room].append(index)
        chunks[room // CHUNK] |= 1 << room % CHUNK
        used_chunks |= 1 << room // CHUNK
    return sorted(sorted(members) for members in bins)


def _rows_per_block(seq_length: int) -> int:
    return max(1, BLOCK_TOKENS // (seq_length + 1))
