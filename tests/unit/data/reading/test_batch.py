"""What the device derives from ids and boundaries equals a plain walk over every position."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from megatron_speech.data.reading.batch import collate, from_words, take, to_device, to_words
from megatron_speech.data.shards.document import Row
from megatron_speech.data.shards.rows import RowFolder
from tests.plain_batch import positions, rows_of
from tests.toys import VOCABULARY, packed_folder

SEQ = 16


def _check(rows: Sequence[Row]) -> None:
    batch = to_device(collate(rows), VOCABULARY, torch.device("cpu"))
    lengths = batch.cu_seqlens.diff()
    in_document = torch.arange(len(rows) * SEQ) - batch.cu_seqlens[:-1].repeat_interleave(lengths)
    names = ("tokens", "labels", "loss_mask", "speech_targets")
    found = [*(getattr(batch, name).flatten().tolist() for name in names), in_document.tolist()]
    for place, expected in zip(zip(*found, strict=True), positions(rows, VOCABULARY), strict=True):
        wanted = expected.token, expected.label, expected.is_target, expected.is_speech, expected.in_document
        assert place == wanted, expected
        assert batch.source[expected.row] == expected.source
    starts = [number * SEQ + int(start) for number, row in enumerate(rows) for start in row.cu_seqlens[:-1]]
    assert batch.cu_seqlens.tolist() == [*starts, len(rows) * SEQ]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.max_seqlen == max(np.diff(batch.cu_seqlens.tolist()))


@settings(deadline=None)
@given(rows_of(VOCABULARY, seq_length=SEQ, num_sources=3))
def test_any_rows(rows: list[Row]):
    _check(rows)


@settings(deadline=None)
@given(rows_of(VOCABULARY, seq_length=SEQ, num_sources=3), rows_of(VOCABULARY, seq_length=SEQ, num_sources=3))
def test_batches_travel_as_words(one: list[Row], two: list[Row]):
    sent = [collate(one), collate(two)]
    for received, host in zip(from_words(to_words(sent)), sent, strict=True):
        for name, value in vars(host).items():
            found = getattr(received, name)
            assert np.array_equal(found, value) and getattr(found, "dtype", int) == getattr(value, "dtype", int), name


def test_rows_without_targets():
    """A row of padding, one that is context alone, and one with an empty context, which has targets."""
    end = VOCABULARY.end_of_document
    words = np.arange(1, SEQ + 2, dtype=np.int32)
    spans = {"padding": [], "context": [[0, SEQ + 1]], "empty context": [[0, 0], [SEQ + 1, SEQ + 1]]}
    rows = [
        Row(
            tokens=np.full_like(words, end) if name == "padding" else words,
            cu_seqlens=np.array([0, SEQ], np.int32),
            context=np.array(context, np.int32).reshape(-1, 2),
            source=0,
        )
        for name, context in spans.items()
    ]
    _check(rows)
    assert to_device(collate(rows), VOCABULARY, torch.device("cpu")).loss_mask.sum(1).tolist() == [0, 0, SEQ]


@pytest.mark.parametrize("target_only", [False, True])
@pytest.mark.parametrize("algorithm", ["concat", "best_fit"])
def test_packed_rows(tmp_path: Path, algorithm: str, target_only: bool):
    lengths = [1 + index * 7 % 16 for index in range(60)]
    folder = RowFolder(packed_folder(tmp_path / "rows", lengths, algorithm=algorithm, with_targets=True))
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


def test_taken_positions_keep_everything_that_belongs_to_them(tmp_path: Path):
    folder = RowFolder(packed_folder(tmp_path / "rows", [5, 9, 12, 3, 16, 20], algorithm="concat", with_targets=True))
    rows = [folder.row(index, source=index + 3, target_only=True) for index in range(2)]
    whole = to_device(collate(rows), VOCABULARY, torch.device("cpu"))
    positions = torch.tensor([30, 2, -1, 17, 2])
    boundaries = torch.tensor([0, 5], dtype=torch.int32)
    part = take(whole, positions, cu_seqlens=boundaries, max_seqlen=5)
    assert part.cu_seqlens is boundaries and part.max_seqlen == 5
    real = positions >= 0
    for name in ("tokens", "labels", "loss_mask", "speech_targets"):
        found, wanted = getattr(part, name), getattr(whole, name)
        assert found.shape == (5, 1) and found.dtype == wanted.dtype
        assert torch.equal(found[real, 0], wanted.flatten()[positions[real]])
        assert not found[~real].any()
    assert part.source.tolist() == [4, 3, 0, 4, 3]
