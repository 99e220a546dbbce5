"""Losses are sums over the right cells, weighted as their source says, whatever the cut into batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.data.reading.batch import collate, to_device
from megatron_speech.data.shards.document import Row
from megatron_speech.model.loss import SPEECH, TEXT, total_weight, trained_targets, training_loss
from tests.plain_batch import positions, rows_of
from tests.toys import VOCABULARY

SEQ, SOURCES = 8, 3
WEIGHTS = torch.tensor([[1.0, 0.5], [0.0, 3.0], [0.25, 0.0]], dtype=torch.float64)


def _of(rows: list[Row], losses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted loss sum, and sums, of rows as one micro-batch."""
    batch = to_device(collate(rows), VOCABULARY, torch.device("cpu"))
    targets = {"loss_mask": batch.loss_mask, "speech_targets": batch.speech_targets, "source": batch.source}
    return training_loss(losses, **targets, weights=WEIGHTS)


@settings(deadline=None)
@given(rows_of(VOCABULARY, seq_length=SEQ, num_sources=SOURCES), st.integers(0, 9))
def test_sums_and_weights_equal_the_plain_reference(rows: list[Row], seed: int) -> None:
    losses = torch.rand(len(rows), SEQ, generator=torch.Generator().manual_seed(seed))
    total, sums = _of(rows, losses.flatten())
    expected, weighted, weight = torch.zeros(SOURCES, 2, 2, dtype=torch.float64), 0.0, 0.0
    for place in positions(rows, VOCABULARY):
        if place.is_target:
            modality, loss = SPEECH if place.is_speech else TEXT, float(losses[place.row, place.position])
            expected[place.source, modality] += torch.tensor([loss, 1.0])
            weighted += loss * float(WEIGHTS[place.source, modality])
            weight += float(WEIGHTS[place.source, modality])
    torch.testing.assert_close(sums, expected, rtol=1e-12, atol=0)
    assert float(total) == pytest.approx(weighted, rel=1e-6)
    assert float(total_weight(sums, WEIGHTS)) == pytest.approx(weight, rel=1e-12)


@settings(deadline=None)
@given(rows_of(VOCABULARY, seq_length=SEQ, num_sources=SOURCES))
def test_micro_batches_add_up(rows: list[Row]) -> None:
    losses = torch.rand(len(rows), SEQ, generator=torch.Generator().manual_seed(0))
    together = _of(rows, losses)
    alone = [_of([row], losses[number]) for number, row in enumerate(rows)]
    for part, whole in enumerate(together):
        torch.testing.assert_close(sum(each[part] for each in alone), whole, rtol=1e-6, atol=0)


def test_the_gradient_of_a_loss_is_its_weight() -> None:
    losses = torch.rand(2, 3, requires_grad=True)
    total, _ = training_loss(
        losses,
        loss_mask=torch.tensor([[1, 1, 0], [1, 1, 1]]),
        speech_targets=torch.tensor([[False, True, True], [False, False, True]]),
        source=torch.tensor([0, 1]),
        weights=WEIGHTS,
    )
    total.backward()
    assert losses.grad is not None and losses.grad.tolist() == [[1, 0.5, 0], [0, 0, 3]]


def test_targets_of_weight_0_are_not_trained_on() -> None:
    sums = torch.tensor([[[0.0, 1], [0, 10]], [[0, 100], [0, 1000]], [[0, 10_000], [0, 100_000]]], dtype=torch.float64)
    assert trained_targets(sums, WEIGHTS.tolist()) == (10_001, 1010)


def test_rows_without_targets_add_nothing() -> None:
    losses = torch.rand(2, SEQ, requires_grad=True)
    nowhere = torch.zeros(2, SEQ, dtype=torch.bool)
    targets = {"loss_mask": nowhere, "speech_targets": ~nowhere, "source": torch.tensor([0, 2])}
    total, sums = training_loss(losses, **targets, weights=WEIGHTS)
    total.backward()
    assert total == 0 and not sums.any() and losses.grad is not None and not losses.grad.any()
