"""The split of documents over context parallel ranks: Transformer Engine's, nothing lost, padding only at ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.parallel.context import (
    ALIGNMENT,
    document_order,
    pad_documents,
    padded_length,
    positions_of_rank,
    share,
)

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=8)
SIZES = st.sampled_from([2, 3, 4])


def test_two_ranks_by_hand() -> None:
    """Documents of 8 and 4 positions: an outer and an inner pair of chunks each."""
    cu_seqlens = np.array([0, 8, 12])
    assert positions_of_rank(cu_seqlens, size=2, rank=0).tolist() == [0, 1, 6, 7, 8, 11]
    assert positions_of_rank(cu_seqlens, size=2, rank=1).tolist() == [2, 3, 4, 5, 9, 10]
    assert document_order(cu_seqlens, size=2).tolist() == [0, 1, 6, 7, 8, 9, 2, 3, 4, 10, 11, 5]


def test_padding_by_hand() -> None:
    cu_seqlens = np.array([0, 1, 8, 12])
    assert pad_documents(cu_seqlens, size=2).tolist() == [0, 4, 12, 16]
    assert padded_length(cu_seqlens, size=2) == 2 * ALIGNMENT
    outer, documents = share(cu_seqlens, size=2, rank=0, length=32)
    assert documents.tolist() == [0, 4, 12, 16, 32]  # the last one is padding alone
    assert outer.tolist() == [0, -1, 1, 2, 7, -1, 8, 11] + [-1] * 8


def test_rotary_positions_are_those_of_the_split() -> None:
    """megatron-core gives the tokens of a share the positions that they have in their documents."""
    import torch
    from megatron.core.models.common.embeddings.rope_utils import _get_thd_freqs_on_this_cp_rank

    cu_seqlens = np.array([0, 8, 32])
    for rank in range(4):
        held = positions_of_rank(cu_seqlens, size=4, rank=rank)
        wanted = np.concatenate([held[held < 8], held[held >= 8] - 8])
        found = [
            _get_thd_freqs_on_this_cp_rank(rank, 4, torch.empty(length // 4), torch.arange(24)) for length in (8, 24)
        ]
        assert torch.cat(found).tolist() == wanted.tolist()


@given(lengths=LENGTHS, size=SIZES, extra=st.integers(0, 2))
def test_shares_hold_every_position_once_and_the_same_work(lengths: list[int], size: int, extra: int) -> None:
    cu_seqlens = np.cumsum([0, *lengths])
    length = padded_length(cu_seqlens, size=size, tensor_size=2) + extra * ALIGNMENT * size * 2
    shares = [share(cu_seqlens, size=size, rank=rank, length=length) for rank in range(size)]
    documents = shares[0][1]
    assert documents[-1] == length and not (np.diff(documents) % (2 * size)).any()
    assert {len(positions) for positions, _ in shares} == {length // size}
    everything = np.concatenate([positions for positions, _ in shares])
    assert sorted(everything[everything >= 0]) == list(range(cu_seqlens[-1]))

    ordered = everything[document_order(documents, size=size)]
    for number, count in enumerate(lengths):
        inside = ordered[documents[number] : documents[number + 1]]
        assert inside[:count].tolist() == list(range(cu_seqlens[number], cu_seqlens[number + 1]))
        assert (inside[count:] == -1).all()

    work = [(positions_of_rank(np.array([0, 12 * size]), size=size, rank=rank) + 1).sum() for rank in range(size)]
    assert len(set(work)) == 1


@pytest.mark.parametrize("size", [2, 4])
def test_a_document_of_fitting_length_is_not_padded(size: int) -> None:
    cu_seqlens = np.array([0, 2 * size, 10 * size])
    assert pad_documents(cu_seqlens, size=size).tolist() == cu_seqlens.tolist()
