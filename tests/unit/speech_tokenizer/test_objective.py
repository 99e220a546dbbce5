"""The loss: gradients through the codebook, nothing from padding, commitment as written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from megatron_speech.grouping import batches_by_length
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, TextSide
from megatron_speech.speech_tokenizer.objective import (
    Losses,
    TextTargets,
    commitment_weight,
    num_targets,
    recognition_losses,
)
from tests.unit.speech_tokenizer.toys import VOCAB, narrowed_config, toy_model, write_text_side

TRANSCRIPTS = ["alpha", "to be"]


@pytest.fixture
def text(tmp_path: Path) -> TextSide:
    write_text_side(tmp_path)
    return TextSide(tmp_path, VOCAB)


def losses_of(model: SpeechRecognitionModel, text: TextSide, pooled: torch.Tensor, lengths: torch.Tensor) -> Losses:
    transcripts = [text.encode(line) for line in TRANSCRIPTS]
    return recognition_losses(model, pooled, lengths, targets_of(text, transcripts), transcripts)


def targets_of(text: TextSide, transcripts: list[list[int]]) -> TextTargets:
    return TextTargets(text, {token for ids in transcripts for token in ids}, VOCAB)


def total(losses: Losses, model: SpeechRecognitionModel) -> torch.Tensor:
    """The loss that is trained on."""
    tokens = sum(map(len, TRANSCRIPTS)) + 2 + len(TRANSCRIPTS)  # bytes, each with a space before and an end
    return losses.cross_entropy / tokens + commitment_weight(model) * losses.commitment / len(losses.codes_N)


def test_labels_are_the_text_and_its_end(text: TextSide) -> None:
    transcripts = [text.encode(line) for line in TRANSCRIPTS]
    targets = targets_of(text, transcripts)
    inputs, labels = targets.batch(transcripts)
    assert inputs.shape == labels.shape == (2, 8)
    for row, ids in enumerate(transcripts):
        kept = labels[row] >= 0
        assert inputs[row, : 2 + len(ids)].tolist() == [*text.prompt, *ids]
        assert targets.ids_V[labels[row][kept]].tolist() == [*ids, text.end]
        assert kept.nonzero()[0] == 1


def test_gradients_pass_the_codebook(text: TextSide) -> None:
    model = toy_model(narrowed_config(quantize_commit_coefficient=0.0))
    total(losses_of(model, text, torch.randn(2, 10, 32), torch.tensor([10, 6])), model).backward()
    before = model.encoder.layers[1].fc1.weight.grad
    assert before is not None and before.abs().max() > 0
    assert model.encoder.codebook.weight.grad is None


def test_padding_changes_nothing(text: TextSide) -> None:
    model = toy_model(narrowed_config())
    pooled, lengths = torch.randn(2, 10, 32), torch.tensor([10, 6])
    noisy = pooled.clone()
    noisy[1, 6:] = 100.0
    wider = torch.cat([noisy, torch.full((2, 5, 32), -50.0)], dim=1)
    plain, padded = (losses_of(model, text, states, lengths) for states in (pooled, wider))
    torch.testing.assert_close(total(padded, model), total(plain, model))
    torch.testing.assert_close(padded.vectors_ND, plain.vectors_ND)
    assert torch.equal(padded.codes_N, plain.codes_N)
    assert len(plain.codes_N) == 16


def test_commitment_is_the_mean_square_of_real_frames(text: TextSide) -> None:
    model = toy_model(narrowed_config(quantize_commit_coefficient=0.5, quantize_loss_scale=4.0))
    losses = losses_of(model, text, torch.randn(2, 10, 32), torch.tensor([10, 6]))
    expected = (losses.vectors_ND - model.encoder.codebook.weight[losses.codes_N]).square().mean()
    torch.testing.assert_close(losses.commitment / 16, expected)
    assert commitment_weight(model) == 2.0


def test_parts_of_a_batch_add_up_to_it(text: TextSide) -> None:
    model = toy_model(narrowed_config())
    pooled, lengths = torch.randn(2, 10, 32), torch.tensor([10, 6])
    transcripts = [text.encode(line) for line in TRANSCRIPTS]
    targets = targets_of(text, transcripts)
    whole = recognition_losses(model, pooled, lengths, targets, transcripts)
    parts = [
        recognition_losses(model, pooled[row : row + 1], lengths[row : row + 1], targets, transcripts[row : row + 1])
        for row in range(2)
    ]
    for name in ("cross_entropy", "commitment"):
        torch.testing.assert_close(sum(getattr(part, name) for part in parts), getattr(whole, name))
    assert sum(map(num_targets, transcripts)) == sum(map(len, transcripts)) + 2


def test_batches_hold_their_limit_and_every_item() -> None:
    lengths = [5, 1, 9, 3, 3, 30]
    batches = batches_by_length(lengths, max_total=10)
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    assert all(len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= 10 for batch in batches)
    assert batches[-1] == [5]
