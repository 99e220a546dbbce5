"""The prior: a causal network from speech codes to a first mel spectrogram, with a fixed look-ahead.

Layers at the token rate come first, because 12.5 tokens per second are cheaper than 86 mel frames. They run
`look_ahead` tokens late: what they compute when token n + look_ahead arrives is the output for token n. After the last
token come as many empty ones. Everything else is causal, so a frame depends on its token, on `look_ahead` more, and on
the past. The prior is trained with a loss of its own; the flow then adds what it leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from megatron_speech.config.stages.causal_decoder import PriorConfig
from megatron_speech.speech_decoder.causal import CausalConv, Past, ResidualConv
from megatron_speech.speech_decoder.frame_clock import SUBFRAMES, FrameClock

# Shape letters: B batch, N tokens, T mel frames, C channels, M mel bands, V channels of a voice.


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What the prior says about some mel frames."""

    mu_BTM: Tensor
    """The first mel spectrogram, in deviations of each band from its mean."""
    features_BTC: Tensor
    """Vectors from which it was read; the flow reads them, too."""


@dataclass(kw_only=True)
class PriorState:
    """How far a prior has read a stream of codes."""

    past: Past = field(default_factory=Past)
    """The last inputs of its layers."""
    received: int = 0
    """Tokens that it has read, with the empty ones at the end."""
    spoken: int = 0
    """Tokens whose frames it has made."""


class Prior(nn.Module):
    """Codes [B, N] -> a first mel spectrogram [B, T, M] and the vectors behind it [B, T, C]."""

    def __init__(
        self, config: PriorConfig, *, num_codes: int, num_mels: int, voice_channels: int, clock: FrameClock
    ) -> None:
        super().__init__()
        self.config, self.clock = config, clock
        channels, width, size = config.token_channels, config.frame_channels, config.kernel_size
        # Layers at the rate of tokens; the first joins each token with the one `look_ahead` before it.
        self.embedding = nn.Embedding(num_codes, channels)
        self.voice = nn.Linear(voice_channels, channels, bias=False)
        late = {"kernel_size": 2, "dilation": config.look_ahead} if config.look_ahead else {"kernel_size": 1}
        self.align = CausalConv(channels, channels, **late)
        self.token_layers = nn.ModuleList(
            ResidualConv(channels, kernel_size=size, dropout=config.dropout) for _ in range(config.token_layers)
        )
        # Layers at the rate of mel frames.
        self.emit = nn.Linear(channels, SUBFRAMES * width)
        self.frame_layers = nn.ModuleList(
            ResidualConv(width, kernel_size=size, dilation=(1, 3)[layer % 2], dropout=config.dropout)
            for layer in range(config.frame_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.to_mel = nn.Linear(width, num_mels)

    def forward(self, codes_BN: Tensor, lengths_B: Tensor, voice_BV: Tensor) -> Predicted:
        """Predict all frames of whole utterances of `lengths_B` tokens; frames of padding have no meaning."""
        real_BN = torch.arange(codes_BN.shape[1], device=codes_BN.device) < lengths_B[:, None]
        embedded = self.embedding(codes_BN) * real_BN[..., None]
        made = self._continue(torch.cat([embedded, self._empty(embedded)], dim=1), voice_BV, PriorState())
        assert made is not None, "utterances are not empty"
        return made

    def push(self, codes_BN: Tensor, voice_BV: Tensor, state: PriorState) -> Predicted | None:
        """Continue a stream by codes [B, N], N > 0; None if they complete no frame."""
        return self._continue(self.embedding(codes_BN), voice_BV, state)

    def finish(self, voice_BV: Tensor, state: PriorState) -> Predicted | None:
        """Predict the last frames of a stream; None if none is left."""
        if not state.received:
            return None
        return self._continue(self._empty(self.embedding.weight.new_zeros(len(voice_BV), 1, 1)), voice_BV, state)

    def _empty(self, like: Tensor) -> Tensor:
        """The empty tokens after the last one, [B, look_ahead, C]."""
        return like.new_zeros(like.shape[0], self.config.look_ahead, self.config.token_channels)

    def _continue(self, embedded_BNC: Tensor, voice_BV: Tensor, state: PriorState) -> Predicted | None:
        if not embedded_BNC.shape[1]:
            return None
        # Read the tokens, and drop the first outputs, which belong to no token.
        past = state.past
        hidden = self.align(embedded_BNC + self.voice(voice_BV)[:, None], past)
        for layer in self.token_layers:
            hidden = layer(hidden, past)
        early = max(0, self.config.look_ahead - state.received)
        state.received += embedded_BNC.shape[1]
        hidden = hidden[:, early:]
        if not hidden.shape[1]:
            return None
        # Read the frames of the tokens that are complete.
        first, state.spoken = state.spoken, state.spoken + hidden.shape[1]
        subframes = self.emit(hidden).view(len(hidden), -1, self.config.frame_channels)
        frames = self.clock.read(past.join(self.emit, subframes, reach=1), first_token=first, last_token=state.spoken)
        if not frames.shape[1]:
            return None
        for layer in self.frame_layers:
            frames = layer(frames, past)
        features = self.norm(frames)
        return Predicted(mu_BTM=self.to_mel(features), features_BTC=features)
