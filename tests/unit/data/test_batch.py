"""What the device derives from ids and boundaries equals a plain walk over every position."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from megatron_speech.data.batch import collate, to_device
from megatron_speech.data.document import Row
from megatron_speech.data.rows import RowFolder
from tests.plain_batch import positions, rows_of
from tests.toys import VOCABULARY, packed_folder

SEQ = 16


def _check(rows: Sequence[Row]) -> None:
    batch = to_device(collate(rows), VOCABULARY, torch.device("cpu"))
    for expected in positions(rows, VOCABULARY):
        place = expected.row, expected.position
        assert batch.tokens[place] == expected.token
        assert batch.labels[place] == expected.label
        assert batch.loss_mask[place] == expected.is_target
        assert batch.speech_targets[place] == expected.is_speech
        assert batch.source[expected.row] == expected.source
    starts = [number * SEQ + int(start) for number, row in enumerate(rows) for start in row.cu_seqlens[:-1]]
    assert batch.cu_seqlens.tolist() == [*starts, len(rows) * SEQ]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.max_seqlen == max(np.diff(batch.cu_seqlens.tolist()))


@settings(deadline=None)
@given(rows_of(VOCABULARY, seq_length=SEQ, num_sources=3))
def test_any_rows(rows: list[Row]):
    _check(rows)


@pytest.mark.parametrize("target_only", [False, True])
@pytest.mark.parametrize("algorithm", ["concat", "best_fit"])
def test_packed_rows(tmp_path: Path, algorithm: str, target_only: bool):
    lengths = [1 + index * 7 % 16 for index in range(60)]
    folder = RowFolder(packed_folder(tmp_path / "rows", lengths, algorithm=algorithm, with_targets=True))  # type: ignore[arg-type]
    _check([folder.row(index, source=index % 3, target_only=target_only) for index in range(len(folder))])


def test_nothing_is_learnt_across_a_document_boundary():
    tokens = np.arange(1, SEQ + 2, dtype=np.int32)
    tokens[[4, 9]] = VOCABULARY.end_of_document
    row = Row(
        tokens=tokens,
        cu_seqlens=np.array([0, 5, 10, SEQ], np.int32),
        context=np.zeros((0, 2), np.int32),
        source=0,
    )
    mask = to_device(collate([row]), VOCABULARY, torch.device("cpu")).loss_mask[0]
    assert (~mask).nonzero().flatten().tolist() == [4, 9]
    # A label is masked exactly where the next input opens a document.
    assert (row.cu_seqlens[1:-1] - 1).tolist() == [4, 9]


def test_overlapping_and_closing_context_spans():
    row = Row(
        tokens=np.arange(1, SEQ + 2, dtype=np.int32),
        cu_seqlens=np.array([0, SEQ], np.int32),
        context=np.array([[0, 4], [2, 6], [SEQ, SEQ + 1]], np.int32),
        source=0,
    )
    mask = to_device(collate([row, row]), VOCABULARY, torch.device("cpu")).loss_mask
    assert mask.shape == (2, SEQ) and (mask[0] == mask[1]).all()
    assert (~mask[0]).nonzero().flatten().tolist() == [0, 1, 2, 3, 4, SEQ - 1]
