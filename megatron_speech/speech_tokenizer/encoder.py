"""Whisper's encoder with the bottleneck between its layers; parameter names are those of the released tokenizer.

    log-mel --conv--> 50 Hz --layers--> mean of 4 --layers--> nearest code --positions--> layers --> memory
             `front` ...................................`before_codebook`..`quantize`..`after_codebook`....

Clips of different lengths share a padded batch and do not affect each other. After a clip's end convolutions see zeros,
as for a single clip, attention is masked, and no pooling window crosses the end. This module encodes whole clips under
masks, as training does; `blockwise` computes the codes of causal encoders. The released code differs for padded
batches: there the last frames of a clip see zero padding instead of their own reflection.

Shapes: B clips, M mel bins, F log-mel frames, T encoder frames, D width, K codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from megatron_speech.audio.features import HOP, Features, torch_features
from megatron_speech.speech_tokenizer.config import CONV_STRIDE, WhisperVQConfig
from megatron_speech.speech_tokenizer.quantizer import Codebook, nearest_codes


@dataclass(frozen=True)
class MelBatch:
    """Log-mel frames of several clips."""

    mel_BMF: torch.Tensor
    """Frames of each clip, padded with silence to whole codes, then with zeros to the longest clip."""
    frames_B: torch.Tensor
    """Number of log-mel frames of each clip, with its silence."""
    spoken_B: torch.Tensor
    """Number of log-mel frames of each clip that hold a real sample; attention sees these."""


def mel_batch(
    waveforms: Sequence[torch.Tensor], config: WhisperVQConfig, features: Features = torch_features
) -> MelBatch:
    """Compute log-mel frames of mono 16 kHz waveforms [N], clip by clip, and pad them to one batch."""
    mels = features(
        waveforms,
        num_mel_bins=config.num_mel_bins,
        multiple=config.rates.samples_per_token,
        blocks=config.floor_blocks,
    )
    longest = max(mel.shape[1] for mel in mels)
    device = mels[0].device
    return MelBatch(
        mel_BMF=torch.stack([F.pad(mel, (0, longest - mel.shape[1])) for mel in mels]),
        frames_B=torch.tensor([mel.shape[1] for mel in mels], device=device),
        spoken_B=torch.tensor([-(-len(wave) // HOP) for wave in waveforms], device=device),
    )


def within(lengths_B: torch.Tensor, size: int) -> torch.Tensor:
    """Mask bool [B, size]: True for the first `lengths_B` places of each row."""
    return torch.arange(size, device=lengths_B.device)[None, :] < lengths_B[:, None]


def visible(size: int, block: int, device: torch.device, *, start: int = 0) -> torch.Tensor:
    """Block-causal mask bool [size - start, size]: each frame from `start` on sees all frames up to its block's end."""
    rows, columns = torch.arange(start, size, device=device), torch.arange(size, device=device)
    return columns[None, :] < (rows[:, None] // block + 1) * block


@contextmanager
def float32_convolutions() -> Iterator[None]:
    """Inside, and in a function it decorates, a GPU computes float32 convolutions as float32.

    cuDNN's default is TF32, ten bits, with codes that are not the CPU's. A backward pass asks again, so a training step
    needs it too. Limitation: the setting is the process's; do not run the encoder in several threads on a GPU.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class CausalConv1d(nn.Conv1d):
    """A convolution over present and past frames, with zeros before the first frame."""

    def forward(self, hidden_BDT: torch.Tensor) -> torch.Tensor:
        """[B, D, T] to [B, D', T / stride]."""
        return super().forward(F.pad(hidden_BDT, (self.kernel_size[0] - 1, 0)))


class WhisperVQEncoder(nn.Module):
    """Whisper's encoder with the pooling and the codebook that its configuration asks for."""

    ema_count: torch.Tensor
    ema_weight: torch.Tensor
    position_means: torch.Tensor

    def __init__(self, config: WhisperVQConfig) -> None:
        super().__init__()
        self.config = config
        # Whisper's own modules.
        width = config.d_model
        conv, padding = (CausalConv1d, 0) if config.encoder_causal_convolution else (nn.Conv1d, 1)
        self.conv1 = conv(config.num_mel_bins, width, kernel_size=3, padding=padding)
        self.conv2 = conv(width, width, kernel_size=3, stride=CONV_STRIDE, padding=padding)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.embed_positions.weight.requires_grad_(False)
        num_layers = config.quantize_position if config.quantize_encoder_only else config.encoder_layers
        self.layers = nn.ModuleList([WhisperEncoderLayer(config) for _ in range(num_layers)])
        if not config.quantize_encoder_only:
            self.layer_norm = nn.LayerNorm(width)
        # Places of the pooling and the codebook among the layers.
        self.pooling = config.pooling_kernel_size or 1
        self.quantize_at = num_layers if config.quantize_vocab_size is None else config.quantize_position
        pool_at = config.pooling_position if config.pooling_kernel_size is not None else self.quantize_at
        assert pool_at is not None
        self.pool_at = pool_at
        # Codebook, its running averages, and the position table after it.
        if config.quantize_vocab_size is not None:
            self.codebook = Codebook(config.quantize_vocab_size, width)
            self.embed_positions2 = nn.Embedding(-(-config.max_source_positions // self.pooling), width)
            if config.quantize_ema_decay is not None:
                self.register_buffer("ema_count", torch.ones(config.quantize_vocab_size))
                self.register_buffer("ema_weight", self.codebook.weight.detach().clone())
            if config.quantize_subtract_position_means:
                self.register_buffer("position_means", torch.zeros_like(self.embed_positions2.weight))

    @float32_convolutions()
    def front(self, batch: MelBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """States after pooling [B, T, D] and the number of real ones, int [B]; clips of at most `max_samples`."""
        keep_B1F = within(batch.frames_B, batch.mel_BMF.shape[2])[:, None]
        hidden_BDF = F.gelu(self.conv1(batch.mel_BMF)) * keep_B1F
        hidden_BTD = F.gelu(self.conv2(hidden_BDF)).transpose(1, 2)
        lengths_B = -(-batch.spoken_B // CONV_STRIDE)
        num_frames = hidden_BTD.shape[1]
        assert num_frames <= len(self.embed_positions.weight), f"{num_frames=} is beyond the table: check clips before"
        hidden_BTD = hidden_BTD + self.embed_positions.weight[:num_frames]
        hidden_BTD = self._run(hidden_BTD, lengths_B, 0, self.pool_at)
        if self.pooling > 1:
            hidden_BTD = F.avg_pool1d(hidden_BTD.transpose(1, 2), self.pooling).transpose(1, 2)
            lengths_B = -(-lengths_B // self.pooling)
        return hidden_BTD, lengths_B

    def before_codebook(
        self, pooled_BTD: torch.Tensor, lengths_B: torch.Tensor, *, centered: bool = True
    ) -> torch.Tensor:
        """States that the codebook quantises [B, T, D], from those after pooling.

        `centered=False` keeps the position means, which the configuration may subtract.
        """
        hidden_BTD = self._run(pooled_BTD, lengths_B, self.pool_at, self.quantize_at)
        if centered and self.config.quantize_subtract_position_means:
            hidden_BTD = hidden_BTD - self.position_means[: hidden_BTD.shape[1]]
        return hidden_BTD

    def quantize(self, hidden_BTD: torch.Tensor) -> torch.Tensor:
        """Nearest code of every state, int64 [B, T]; codes after a clip's end are meaningless."""
        return nearest_codes(hidden_BTD.flatten(0, 1), self.codebook.weight).view(hidden_BTD.shape[:2])

    def after_codebook(self, vectors_BTD: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Encoder output for the recogniser [B, T, D], from code vectors [B, T, D]."""
        vectors_BTD = vectors_BTD + self.embed_positions2.weight[: vectors_BTD.shape[1]]
        hidden_BTD = self._run(vectors_BTD, lengths_B, self.quantize_at, len(self.layers))
        output_BTD: torch.Tensor = self.layer_norm(hidden_BTD)
        return output_BTD

    def encode(self, batch: MelBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes int64 [B, T] of a batch of clips and the number of real ones, int [B]."""
        pooled_BTD, lengths_B = self.front(batch)
        return self.quantize(self.before_codebook(pooled_BTD, lengths_B)), lengths_B

    def _run(self, hidden_BTD: torch.Tensor, lengths_B: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """Apply layers `first` to `last` - 1, which have the same frame rate and mask."""
        mask = self._mask(lengths_B, hidden_BTD.shape[1], first)
        for layer in self.layers[first:last]:
            hidden_BTD = layer(hidden_BTD, mask)
        return hidden_BTD

    def _mask(self, lengths_B: torch.Tensor, size: int, layer: int) -> torch.Tensor:
        """Attention mask of `layer`: bool, [B, 1, T, T] or broadcast to it."""
        real_B11T = within(lengths_B, size)[:, None, None]
        block = self.config.quantize_causal_block_size
        if self.config.looks_back(layer):
            # As in the released code, the silence in a clip's last code is not masked.
            return visible(size, 1, lengths_B.device)[None, None]
        if block is None:
            return real_B11T
        return real_B11T & visible(size, block // (self.pooling if layer >= self.pool_at else 1), lengths_B.device)
