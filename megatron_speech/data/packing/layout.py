"""Decides at which place of a row each piece of a document goes: arithmetic on lengths, without tokens.

`concat` joins all documents into one stream and cuts it every S tokens. Neighbouring rows share one token: the last
label of one row is the first input of the next. So every token is a label exactly once. Padding is needed only in the
last row, and in rows that end early to keep a speech span whole.

`best_fit` cuts no document that fits into a row. It takes documents in windows, longest first, and puts each into the
fullest row with enough room (best-fit decreasing, as in arXiv 2404.10830). Cost: padding, about 1 % for short
documents.

Both accept documents in batches of any size, and lay out only what later documents cannot change. So the rows do not
depend on the batches.
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
"""Size of the best-fit window: tokens (soft limit), minimum rows, maximum documents. It takes 16 MiB for rows up to 64k
tokens. A window sixteen times as large would save only 0.2 % of padding in rows of 8k."""
CHUNK = 512
"""Number of sizes of free room in one bit mask of `fit`."""


class SpeechSpans(NamedTuple):
    """Token spans that rows must not cut, in the order of the batch; empty if rows may end anywhere."""

    first: list[int]
    """Index of each span's first token."""
    last: list[int]
    """Index of each span's last token."""


NOWHERE = SpeechSpans([], [])


@dataclass(frozen=True, kw_only=True)
class RowLayout:
    """Where pieces of documents go in consecutive rows; arrays [n], one value per piece, in order."""

    num_rows: int
    """Number of rows."""
    next_token: int
    """Index in the batch of the first token of the next row."""
    row: Ints
    """Row of each piece, from 0."""
    at: Ints
    """First position of each piece in its row, 0 .. S."""
    document: Ints
    """Index of each piece's document in the batch."""
    offset: Ints
    """Index of each piece's first token within the document."""
    size: Ints
    """Number of tokens of each piece."""


def concat(length: Ints, seq_length: int, *, spans: SpeechSpans, last: bool) -> Iterator[RowLayout]:
    """Lay out full blocks of rows of the concatenated documents; the `last` batch is laid out completely.

    Args:
        length: tokens per document, [N].
        spans: token spans not to cut.
    """
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
            next_token=int(last_token[-1]),
            row=row,
            at=left - first_token[row],
            document=document,
            offset=left - begin[document],
            size=np.minimum(end[document], last_token[row] + 1) - left,
        )


def best_fit(length: Ints, seq_length: int, *, spans: SpeechSpans, last: bool) -> Iterator[RowLayout]:
    """Lay out full windows of documents by best fit; the `last` batch is laid out completely.

    Documents longer than a row are cut into pieces. Arguments as in `concat`.
    """
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
    """Lay out the documents low .. high - 1 by best fit."""
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
            next_token=int(end[high - 1]),
            row=row,
            at=at - at[np.searchsorted(row, row)],
            document=document[piece],
            offset=offset[piece],
            size=size[piece],
        )


def _split(
    document: Ints, end: Ints, length: Ints, seq_length: int, spans: SpeechSpans
) -> tuple[Ints, Ints, Ints, Ints]:
    """Cut documents that exceed a row: (document, offset, size, room needed) of each piece, in document order.

    Every piece but a document's last needs a whole row. Otherwise a document placed after it in the row would be taken
    for its continuation, because no end-of-document id separates them.
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
    """First token of every row over the tokens begin .. end - 1; each row ends with the first token of the next."""
    if not spans.first:
        return list(range(begin, end - 1, seq_length))
    starts = [begin]
    while end - 1 - starts[-1] > seq_length:
        starts.append(_row_end(starts[-1], seq_length, spans))
    return starts


def _row_end(start: int, seq_length: int, spans: SpeechSpans) -> int:
    """Last token of the row that begins at `start`: S tokens on, or the first token of a span that would be cut.

    A span that begins with the row is cut anyway, because no row can hold it.
    """
    full = start + seq_length
    before = bisect_left(spans.first, full) - 1
    if before < 0 or spans.last[before] <= full or spans.first[before] <= start:
        return full
    # Never end one token short of full: with no input left to mark as padding, the last input would predict it.
    return spans.first[before] - (spans.first[before] == full - 1)


def fit(need: Ints, capacity: int) -> list[list[int]]:
    """Partition pieces into bins of at most `capacity` tokens: longest first, each into the fullest bin with room.

    Returns the bins as sorted lists of indices into `need` [n], ordered by their first index. Free room in use is
    stored as bit masks, one per chunk of CHUNK sizes. So the smallest sufficient room is found by a shift and a mask,
    within the chunk or within the mask of used chunks.
    """
    bins: list[list[int]] = []
    open_bins: defaultdict[int, list[int]] = defaultdict(list)  # bin indices by free room
    chunks = [0] * (capacity // CHUNK + 1)
    used_chunks = 0
    order = np.argsort(-need, kind="stable")
    for position, size in zip(order.tolist(), need[order].tolist(), strict=True):
        chunk = size // CHUNK
        # Find the smallest sufficient room: in the same chunk, in a larger one, or in a new bin.
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
        # Move the bin from its old room to the new one, and update the masks.
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
