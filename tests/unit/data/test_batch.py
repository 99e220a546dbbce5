"""Device-side derivation against a plain reference that walks every position."""

from pathlib import Path

import numpy as np
import pytest
import torch

from megatron_speech.data.batch import collate, to_device
from megatron_speech.data.document import Row
from megatron_speech.data.rows import RowFolder
from tests.toys import VOCABULARY, packed_folder

SEQ = 16


@pytest.mark.parametrize("target_only", [False, True])
@pytest.mark.parametrize("algorithm", ["concat", "best_fit"])
def test_batch_equals_the_plain_reference(tmp_path: Path, algorithm: str, target_only: bool):
    lengths = [1 + index * 7 % 16 for index in range(60)]
    folder = RowFolder(packed_folder(tmp_path / "rows", lengths, algorithm=algorithm, with_targets=True))  # type: ignore[arg-type]
    rows = [folder.row(index, source=index % 3, target_only=target_only) for index in range(len(folder))]
    batch = to_device(collate(rows), VOCABULARY, torch.device("cpu"))
    for number, row in enumerate(rows):
        for position in range(SEQ):
            label = int(row.tokens[position + 1])
            assert batch.tokens[number, position] == row.tokens[position]
            assert batch.labels[number, position] == label
            assert batch.loss_mask[number, position] == _learnt(row, position)
            assert batch.speech_targets[number, position] == VOCABULARY.is_speech(label)
        assert batch.source[number] == number % 3
    starts = [number * SEQ + int(start) for number, row in enumerate(rows) for start in row.cu_seqlens[:-1]]
    assert batch.cu_seqlens.tolist() == [*starts, len(rows) * SEQ]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.max_seqlen == max(np.diff(batch.cu_seqlens.tolist()))


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


def _learnt(row: Row, position: int) -> bool:
    if row.tokens[position] == VOCABULARY.end_of_document:
        return False
    return not any(start <= position + 1 < end for start, end in row.context)
