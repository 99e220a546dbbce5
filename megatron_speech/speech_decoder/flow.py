"""Conditional flow matching (arXiv 2210.02747) on what the prior leaves open, one frame at a time.

The flow carries noise to the residual (mel - prior), in deviations of each band. Its network is causal and says, for a
point between noise and residual, in which direction the residual lies. A solver follows it in some steps. Each step has
a `Past` of its own, and the noise of a frame is a function of the seed and the number of the frame. So a stream gives
the frames of the whole, however it is cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from megatron_speech.config.stages.causal_decoder import FlowConfig, SpeakingConfig
from megatron_speech.randomness import named_keys, uniform_at
from megatron_speech.speech_decoder.causal import Past, ResidualConv

# Shape letters: B batch, T mel frames, C channels, M mel bands, V channels of a voice.
TIME_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the flow of some frames depends on."""

    tokens_BTC: Tensor
    """The prior's mel frames and features, side by side."""
    voice_BV: Tensor
    """A vector for the voice; zeros are no voice in particular."""


class Velocity(nn.Module):
    """The direction from a point [B, T, M] towards the residual, at a time between 0 (noise) and 1 (residual)."""

    def __init__(self, config: FlowConfig, *, num_mels: int, token_channels: int, voice_channels: int) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.point = nn.Linear(num_mels, channels)
        self.tokens = nn.Linear(token_channels, channels)
        self.voice = nn.Linear(voice_channels, channels, bias=False)
        self.time = nn.Sequential(nn.Linear(2 * TIME_CHANNELS, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.modulations = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(config.layers))
        self.layers = nn.ModuleList(
            ResidualConv(channels, kernel_size=config.kernel_size, dilation=(1, 2, 4)[layer % 3])
            for layer in range(config.layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.direction = nn.Linear(channels, num_mels)
        nn.init.zeros_(self.direction.weight)
        nn.init.zeros_(self.direction.bias)

    def forward(self, x_BTM: Tensor, time_B: Tensor, span_B: Tensor, condition: Condition, past: Past) -> Tensor:
        """Continue the stream of `past` by the points x at `time_B`: [B, T, M].

        `span_B` is 0 for the direction at this time, else it is the mean direction until `span_B` later.
        """
        voice = self.voice(condition.voice_BV)[:, None]
        hidden = self.point(x_BTM) + self.tokens(condition.tokens_BTC) + voice
        when = self.time(torch.cat([_waves(time_B), _waves(span_B)], dim=-1)).unsqueeze(1)
        for layer, modulation in zip(self.layers, self.modulations, strict=True):
            hidden = layer(hidden, past, modulation(nn.functional.silu(when + voice)))
        direction: Tensor = self.direction(self.norm(hidden))
        return direction


class Solver:
    """Follows the flow of one stream, in Euler steps."""

    def __init__(self, velocity: Velocity, speaking: SpeakingConfig, *, steps: int, spans: bool) -> None:
        """Take `steps` steps; `spans` tells the network their lengths, for one that was trained for it."""
        self.velocity, self.speaking, self.spans = velocity, speaking, spans
        self.times = _times(steps, speaking.schedule)
        self.pasts = [Past() for _ in range(steps)]
        self.frames = 0
        """Number of frames so far."""

    @torch.no_grad()
    def residual(self, condition: Condition) -> Tensor:
        """Continue the stream by the frames of `condition`: their residual [B, T, M]."""
        batch, count, _ = condition.tokens_BTC.shape
        bands = self.velocity.direction.out_features
        noise = normals(self.speaking.seed, self.frames, count, bands)
        self.frames += count
        x = self.speaking.temperature * torch.from_numpy(noise).to(condition.tokens_BTC).expand(batch, -1, -1)
        for past, start, end in zip(self.pasts, self.times, self.times[1:], strict=False):
            x = x + (end - start) * self._direction(x, start, end - start, condition, past)
        return x

    def _direction(self, x: Tensor, time: float, span: float, condition: Condition, past: Past) -> Tensor:
        """The direction with guidance: away from the directions without tokens and without a voice."""
        scales = (self.speaking.token_guidance, self.speaking.voice_guidance)
        tokens, voice = condition.tokens_BTC, condition.voice_BV
        rows = [(tokens, voice), (torch.zeros_like(tokens), voice), (tokens, torch.zeros_like(voice))]
        chosen = [rows[0], *(row for row, scale in zip(rows[1:], scales, strict=True) if scale)]
        together = Condition(
            tokens_BTC=torch.cat([row[0] for row in chosen]), voice_BV=torch.cat([row[1] for row in chosen])
        )
        batch = len(x) * len(chosen)
        times, spans = x.new_full((batch,), time), x.new_full((batch,), span if self.spans else 0.0)
        directions: Tensor = self.velocity(x.repeat(len(chosen), 1, 1), times, spans, together, past)
        full, *without = directions.chunk(len(chosen))
        for each, scale in zip(without, [scale for scale in scales if scale], strict=True):
            full = full + scale * (full - each)
        return full


def normals(seed: int, first_frame: int, frames: int, bands: int) -> np.ndarray:
    """Normally distributed noise of the frames from `first_frame` on, float64 [frames, bands]: a function of place."""
    numbers = np.arange(first_frame * bands, (first_frame + frames) * bands)
    keys = named_keys(seed, "noise of mel frames", numbers)
    radius = np.sqrt(-2 * np.log1p(-uniform_at(keys, np.zeros_like(numbers))))
    angle = 2 * math.pi * uniform_at(keys, np.ones_like(numbers))
    noise: np.ndarray = (radius * np.cos(angle)).reshape(frames, bands)
    return noise


def _times(steps: int, schedule: str) -> list[float]:
    """Times of the solver, from 0 to 1."""
    shares = [step / steps for step in range(steps + 1)]
    return shares if schedule == "uniform" else [1 - math.cos(math.pi / 2 * share) for share in shares]


def _waves(time_B: Tensor) -> Tensor:
    """Sines and cosines of a time at rising frequencies, [B, TIME_CHANNELS]."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), TIME_CHANNELS // 2, dtype=time_B.dtype)).to(time_B.device)
    angles = time_B[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
