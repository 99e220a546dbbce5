"""A convolutional network that turns speech codes into a mel spectrogram in one forward pass.

Most layers work on tokens, because 12.5 tokens per second are cheaper than 86 mel frames per second. Each token then
emits `SUBFRAMES` vectors. Mel frame j interpolates them linearly at its own time, (j + 1/2) x hop / sample rate. The
6.89 frames per token need no rounding and do not drift. A few dilated convolutions smooth the result.

Limitations: trained with L1 (`speech_decoder.training`), the network predicts the median of what the codes do not
determine, above all pitch, so the voice is muffled. The paper's flow matching avoids this (arXiv 2411.17607). There is
no speaker input, so a network has one voice.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from megatron_speech.config.stages.speech_decoder import TokenToMelConfig
from megatron_speech.speech_decoder.folder import (
    DecoderIdentity,
    load_weights,
    read_parts,
    require_codes,
    save_decoder,
)
from megatron_speech.speech_decoder.frame_clock import SUBFRAMES
from megatron_speech.speech_decoder.mel import MelSettings

# Shape letters: B batch, N tokens, T mel frames, C channels, M mel bands, K codes.


class ResidualConv(nn.Module):
    """x + project(gelu(convolve(norm(x)))) over [B, T, C]; padding must be zero after every block."""

    def __init__(self, channels: int, *, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.norm = nn.LayerNorm(channels)
        self.convolve = nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding)
        self.project = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, C], mask [B, T, 1] (1 real, 0 padding) -> [B, T, C]."""
        hidden = self.convolve((self.norm(x) * mask).transpose(1, 2)).transpose(1, 2)
        change: Tensor = self.project(self.dropout(nn.functional.gelu(hidden)))
        return x + change


class TokenToMel(nn.Module):
    """Codes [B, N] -> log-mel [B, T, M] in the vocoder's own scale."""

    mel_mean: Tensor
    mel_std: Tensor

    def __init__(self, config: TokenToMelConfig, identity: DecoderIdentity, mel: MelSettings) -> None:
        super().__init__()
        self.config, self.identity, self.mel = config, identity, mel
        # Layers at the rate of tokens.
        shape: dict[str, Any] = {"kernel_size": config.kernel_size, "dropout": config.dropout}
        channels, width = config.token_channels, config.frame_channels
        self.embedding = nn.Embedding(identity.codebook_size, channels)
        self.token_layers = nn.ModuleList(
            ResidualConv(channels, dilation=1, **shape) for _ in range(config.token_layers)
        )
        # Layers at the rate of mel frames.
        self.emit = nn.Linear(channels, SUBFRAMES * width)
        self.frame_layers = nn.ModuleList(
            ResidualConv(width, dilation=(1, 3)[layer % 2], **shape) for layer in range(config.frame_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.to_mel = nn.Linear(width, mel.num_mels)
        # Mean and standard deviation of each band over the training speech: the layers predict standardised values.
        self.register_buffer("mel_mean", torch.zeros(mel.num_mels))
        self.register_buffer("mel_std", torch.ones(mel.num_mels))

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """codes [B, N] int64, lengths [B] (real tokens) -> log-mel [B, num_frames(N), M]."""
        token_mask = (torch.arange(codes.shape[1], device=codes.device) < lengths[:, None])[..., None].float()
        hidden = self.embedding(codes)
        for layer in self.token_layers:
            hidden = layer(hidden, token_mask)
        num_frames = self.num_frames(codes.shape[1])
        frames = self.read_at_frames(self.emit(hidden), num_frames)
        frame_lengths = torch.tensor([self.num_frames(int(n)) for n in lengths], device=codes.device)
        frame_mask = (torch.arange(num_frames, device=codes.device) < frame_lengths[:, None])[..., None].float()
        for layer in self.frame_layers:
            frames = layer(frames, frame_mask)
        mel: Tensor = self.to_mel(self.norm(frames)) * self.mel_std + self.mel_mean
        return mel

    def num_frames(self, num_tokens: int) -> int:
        """Number of mel frames with their centre within `num_tokens` tokens."""
        return round(num_tokens / self.identity.frame_rate * self.mel.frame_rate)

    def read_at_frames(self, emitted: Tensor, num_frames: int) -> Tensor:
        """Subframes [B, N, SUBFRAMES x C] read at the frames' times by linear interpolation: [B, T, C]."""
        batch, num_tokens, width = emitted.shape
        subframes = emitted.view(batch, num_tokens * SUBFRAMES, width // SUBFRAMES)
        time_s = (torch.arange(num_frames, device=emitted.device) + 0.5) / self.mel.frame_rate
        position = (time_s * self.identity.frame_rate * SUBFRAMES - 0.5).clamp(0, num_tokens * SUBFRAMES - 1)
        left = position.long().clamp(max=num_tokens * SUBFRAMES - 2)
        return torch.lerp(subframes[:, left], subframes[:, left + 1], (position - left)[:, None])

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """One utterance: codes [N] -> log-mel [T, M]. Raises ValueError for no codes or an unknown code."""
        if codes.ndim != 1 or not len(codes):
            raise ValueError(f"codes of shape {tuple(codes.shape)} must be [N] with N > 0; drop empty utterances")
        require_codes(codes, self.identity.codebook_size)
        mel: Tensor = self(codes[None].long(), torch.tensor([len(codes)], device=codes.device))[0]
        return mel

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        save_decoder(
            folder, {"net": asdict(self.config), "identity": asdict(self.identity), "mel": asdict(self.mel)}, self
        )

    @classmethod
    def load(cls, folder: Path) -> TokenToMel:
        """Read what `save` wrote, in evaluation mode; FileNotFoundError if one of its files is missing."""
        parts = read_parts(folder)
        net = cls(TokenToMelConfig(**parts["net"]), DecoderIdentity(**parts["identity"]), MelSettings(**parts["mel"]))
        load_weights(folder, net)
        return net.eval()
