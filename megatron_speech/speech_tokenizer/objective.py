"""Computes the training loss of a speech tokenizer: the recogniser's cross-entropy and the commitment loss.

    loss = cross-entropy(text | codes) + quantize_loss_scale * quantize_commit_coefficient * |state - code|^2

Gradients skip the codebook (straight-through estimator). The commitment loss, over real frames only, keeps trainable
states near their codes. It has no gradient while all layers before the codebook are frozen. Both losses are sums, so
that micro-batches add up to the batch.

The cross-entropy is over the ids that occur in the training transcripts (`TextTargets`). The text embedding is frozen,
and a projection onto Whisper's 51,865 ids would cost more than the decoder. Limitation: recognition considers all ids,
also those that training never did.

Shapes: B clips, T frames, D width, S text tokens, V ids in use, N real frames of all clips.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from megatron_speech.speech_tokenizer.encoder import within
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, TextSide
from megatron_speech.speech_tokenizer.recognizer import decode_states

IGNORED = -100
"""Label of positions without loss."""


@dataclass(frozen=True)
class Losses:
    """Losses of one batch, and the inputs of the codebook update."""

    cross_entropy: torch.Tensor
    """Cross-entropy in nats, summed over text tokens."""
    commitment: torch.Tensor
    """Squared distance of state and code vector, mean over the width, summed over frames."""
    vectors_ND: torch.Tensor
    """States of the real frames before the codebook, in clip order; detached, float32."""
    codes_N: torch.Tensor
    """Codes of `vectors_ND`."""


class TextTargets:
    """Turns transcripts into decoder inputs, and labels over the ids in use."""

    def __init__(self, text: TextSide, used: Iterable[int], vocab_size: int) -> None:
        self.ids_V = torch.tensor(sorted({*used, text.end}))
        """Ids in use, ascending."""
        self.label_of = torch.full((vocab_size,), IGNORED)
        self.label_of[self.ids_V] = torch.arange(len(self.ids_V))
        self.prompt, self.end = text.prompt, text.end

    def batch(self, transcripts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded inputs int64 [B, S] (prompt, text) and labels [B, S] (text, end); labels index `ids_V`."""
        rows = [torch.tensor([*self.prompt, *ids, self.end]) for ids in transcripts]
        inputs_BS = torch.nn.utils.rnn.pad_sequence(
            [row[:-1] for row in rows], batch_first=True, padding_value=self.end
        )
        labels_BS = torch.nn.utils.rnn.pad_sequence([self.label_of[row[1:]] for row in rows], True, IGNORED)
        labels_BS[:, : len(self.prompt) - 1] = IGNORED
        return inputs_BS, labels_BS


def num_targets(transcript: list[int]) -> int:
    """Number of labels of a transcript: its text ids and the end."""
    return len(transcript) + 1


def commitment_weight(model: SpeechRecognitionModel) -> float:
    """Weight of the mean commitment loss."""
    return model.config.quantize_loss_scale * model.config.quantize_commit_coefficient


def recognition_losses(
    model: SpeechRecognitionModel,
    pooled_BTD: torch.Tensor,
    lengths_B: torch.Tensor,
    targets: TextTargets,
    transcripts: list[list[int]],
    *,
    label_smoothing: float = 0.0,
) -> Losses:
    """Losses of clips, from their states after pooling [B, T, D]; `lengths_B` counts the real frames of each clip."""
    encoder, device = model.encoder, pooled_BTD.device
    # Under autocast layers may compute in bfloat16. The nearest code is searched in float32.
    hidden_BTD = encoder.before_codebook(pooled_BTD, lengths_B).float()
    with torch.autocast(device.type, enabled=False):
        codes_BT = encoder.quantize(hidden_BTD.detach())
    vectors_BTD = encoder.codebook(codes_BT)
    real_BT = within(lengths_B, hidden_BTD.shape[1])
    commitment = (hidden_BTD[real_BT] - vectors_BTD[real_BT]).square().mean(dim=1).sum()
    # Straight-through: the forward pass uses the code vector, the gradient goes to the state.
    memory_BTD = encoder.after_codebook(hidden_BTD + (vectors_BTD - hidden_BTD).detach(), lengths_B)
    # Cross-entropy of the transcripts, over the ids in use.
    inputs_BS, labels_BS = (part.to(device) for part in targets.batch(transcripts))
    states_BSD = decode_states(model.decoder, inputs_BS, memory_BTD, lengths_B)
    wanted_BS = labels_BS != IGNORED
    logits = states_BSD[wanted_BS] @ model.decoder.embed_tokens.weight[targets.ids_V.to(device)].T
    cross_entropy = F.cross_entropy(
        logits.float(), labels_BS[wanted_BS], label_smoothing=label_smoothing, reduction="sum"
    )
    return Losses(
        cross_entropy=cross_entropy,
        commitment=commitment,
        vectors_ND=hidden_BTD[real_BT].detach(),
        codes_N=codes_BT[real_BT],
    )
