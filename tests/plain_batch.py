"""Targets and positions of rows in plain Python: the reference for the vectorised code on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from megatron_speech.data.shards.document import Row
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Position:
    """One input token of a row, and its label."""

    row: int
    position: int
    in_document: int
    """Position inside its document."""
    token: int
    label: int
    is_target: bool
    is_speech: bool
    source: int


def positions(rows: Sequence[Row], vocabulary: Vocabulary) -> Iterator[Position]:
    """Every input token of every row, in order."""
    for number, row in enumerate(rows):
        starts = set(row.cu_seqlens[:-1].tolist())
        in_document = -1
        for position in range(len(row.tokens) - 1):
            in_document = 0 if position in starts else in_document + 1
            token, label = int(row.tokens[position]), int(row.tokens[position + 1])
            ends_piece = position + 1 in row.cu_seqlens[:-1]
            in_context = any(start <= position + 1 < end for start, end in row.context)
            yield Position(
                row=number,
                position=position,
                in_document=in_document,
                token=token,
                label=label,
                is_target=token != vocabulary.end_of_document and not ends_piece and not in_context,
                is_speech=label in vocabulary.speech_ids,
                source=row.source,
            )


@st.composite
def rows_of(draw: st.DrawFn, vocabulary: Vocabulary, *, seq_length: int, num_sources: int) -> list[Row]:
    """One to four random rows of documents, with or without contexts.

    Documents are cut or end with the end-of-document id. The last document of a row continues in the next row, ends
    with the row's last label or last input, or is padding, which may fill the row.
    """
    return [draw(_row(vocabulary, seq_length, num_sources)) for _ in range(draw(st.integers(1, 4)))]


@st.composite
def _row(draw: st.DrawFn, vocabulary: Vocabulary, seq_length: int, num_sources: int) -> Row:
    ids = st.integers(0, vocabulary.size - 1).filter(lambda token: token != vocabulary.end_of_document)
    tokens = np.array(draw(st.lists(ids, min_size=seq_length + 1, max_size=seq_length + 1)), np.int32)
    starts = sorted(draw(st.sets(st.integers(1, seq_length - 1), max_size=4)))
    tokens[[start - 1 for start in starts if draw(st.booleans())]] = vocabulary.end_of_document
    last = draw(st.sampled_from(["goes on", "ends with the labels", "ends with the inputs", "padding", "all padding"]))
    if last == "all padding":
        starts = []
    if last.endswith("padding"):
        tokens[max([0, *starts]) :] = vocabulary.end_of_document
    elif last != "goes on":
        tokens[seq_length - (last == "ends with the inputs")] = vocabulary.end_of_document
    ends = st.tuples(st.integers(0, seq_length + 1), st.integers(0, seq_length + 1)).map(sorted)
    spans = [(0, seq_length + 1)] if draw(st.booleans()) else draw(st.lists(ends, max_size=3))
    return Row(
        tokens=tokens,
        cu_seqlens=np.array([0, *starts, seq_length], np.int32),
        context=np.array(spans, np.int32).reshape(-1, 2),
        source=draw(st.integers(0, num_sources - 1)),
    )
