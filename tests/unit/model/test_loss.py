"""Losses are sums over the right cells, and the weight of speech enters the training loss alone."""

from __future__ import annotations

import torch

from megatron_speech.model.loss import SPEECH, TEXT, loss_sums, training_loss

LOSSES = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])
IS_SPEECH = torch.tensor([[False, True, True], [False, False, True]])


def test_training_loss_weighs_speech_and_counts_tokens() -> None:
    total, count = training_loss(LOSSES, loss_mask=MASK, speech_targets=IS_SPEECH, speech_loss_weight=0.5)
    assert total.item() == 1 + 0.5 * 2 + 8 + 16 + 0.5 * 32
    assert count.item() == 5 and count.dtype == torch.int32


def test_training_loss_accepts_flat_losses_and_is_differentiable() -> None:
    losses = LOSSES.flatten().requires_grad_()
    total, _ = training_loss(losses, loss_mask=MASK.float(), speech_targets=IS_SPEECH)
    total.backward()
    assert torch.equal(losses.grad, MASK.flatten().float())


def test_sums_by_source_and_modality() -> None:
    source = torch.tensor([2, 0])
    sums = loss_sums(LOSSES.flatten(), loss_mask=MASK, speech_targets=IS_SPEECH, source=source, num_sources=3)
    assert sums.shape == (3, 2, 2) and sums.dtype == torch.float64
    assert sums[2, TEXT].tolist() == [1, 1] and sums[2, SPEECH].tolist() == [2, 1]
    assert sums[0, TEXT].tolist() == [24, 2] and sums[0, SPEECH].tolist() == [32, 1]
    assert sums[1].sum() == 0


def test_sums_do_not_depend_on_the_cut_into_batches() -> None:
    draw = torch.Generator().manual_seed(0)
    losses, mask = torch.rand(6, 8, generator=draw), torch.rand(6, 8, generator=draw) > 0.5
    speech, source = torch.rand(6, 8, generator=draw) > 0.5, torch.arange(6) % 2

    def sums(rows: slice) -> torch.Tensor:
        return loss_sums(
            losses[rows], loss_mask=mask[rows], speech_targets=speech[rows], source=source[rows], num_sources=2
        )

    torch.testing.assert_close(sums(slice(0, 6)), sums(slice(0, 1)) + sums(slice(1, 6)), rtol=1e-12, atol=0)
