"""The loss that makes codes carry words: the recogniser's cross-entropy behind the bottleneck, plus commitment.

    loss = cross-entropy(text | codes) + quantize_loss_scale * quantize_commit_coefficient * |state - code|^2

Gradients pass the codebook straight through; the commitment term, over real frames only, keeps trainable states near
their codes and vanishes from the gradient where everything before the codebook is frozen. The cross-entropy is over the
ids that occur in the training transcripts (`TextTargets`): the text embedding stays as it is, so no other id could
change, and the projection onto Whisper's 51,865 ids would cost more than the decoder. Both are sums, so that parts of a
batch add up to the whole. Price: when reading, ids never trained on compete as Whisper left them. Legend: B clips,
T frames, D width, S text tokens, V ids in use.
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
    """What one batch gave, and what the codebook's update needs."""

    cross_entropy: torch.Tensor
    """Nats, summed over text tokens."""
    commitment: torch.Tensor
    """Squared distance to the code, mean over the width, summed over frames."""
    vectors_ND: torch.Tensor
    """Real frames before the codebook in clip order, detached, float32."""
    codes_N: torch.Tensor
    """Their codes."""


class TextTargets:
    """Transcripts as decoder inputs and labels over the ids in use."""

    def __init__(self, text: TextSide, used: Iterable[int], vocab_size: int) -> None:
        self.ids_V = torch.tensor(sorted({*used, text.end}))
        """Ids in use, ascending."""
        self.label_of = torch.full((vocab_size,), IGNORED)
        self.label_of[self.ids_V] = torch.arange(len(self.ids_V))
        self.prompt, self.end = text.prompt, text.end

    def batch(self, transcripts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs int64 [B, S] (prompt, text) and labels [B, S] (text, end), which index `ids_V`."""
        rows = [torch.tensor([*self.prompt, *ids, self.end]) for ids in transcripts]
        inputs_BS = torch.nn.utils.rnn.pad_sequence(
            [row[:-1] for row in rows], batch_first=True, padding_value=self.end
        )
        labels_BS = torch.nn.utils.rnn.pad_sequence([self.label_of[row[1:]] for row in rows], True, IGNORED)
        labels_BS[:, : len(self.prompt) - 1] = IGNORED
        return inputs_BS, labels_BS


def num_targets(transcript: list[int]) -> int:
    """Text tokens of a transcript that bear loss: itself and its end."""
    return len(transcript) + 1


def commitment_weight(model: SpeechRecognitionModel) -> float:
    """Factor of the mean commitment in the loss."""
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
    """Losses of clips given as states after the pooling [B, T, D], of which `lengths_B` are real."""
    encoder, device = model.encoder, pooled_BTD.device
    # Under autocast the layers may work in bfloat16; which code is nearest is decided in float32.
    hidden_BTD = encoder.before_codebook(pooled_BTD, lengths_B).float()
    with torch.autocast(device.type, enabled=False):
        codes_BT = encoder.quantize(hidden_BTD.detach())
    vectors_BTD = encoder.codebook(codes_BT)
    real_BT = within(lengths_B, hidden_BTD.shape[1])
    commitment = (hidden_BTD[real_BT] - vectors_BTD[real_BT]).square().mean(dim=1).sum()
    # Straight-through: forward the code, backward into the state.
    memory_BTD = encoder.after_codebook(hidden_BTD + (vectors_BTD - hidden_BTD).detach(), lengths_B)
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
