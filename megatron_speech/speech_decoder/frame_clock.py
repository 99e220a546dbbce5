"""Which mel frames belong to which tokens, by exact arithmetic.

A frame belongs to the token in which its centre lies. So the frames of the first tokens are the first frames, however
many tokens follow, and the 6.89 frames per token of HiFi-GAN never drift. Every token emits `SUBFRAMES` vectors, which
stand at the ends of equal parts of it. A frame interpolates the two around its centre, and so reads no later token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

SUBFRAMES = 8
"""Vectors that a token emits."""


@dataclass(frozen=True, kw_only=True)
class FrameClock:
    """The times of tokens and of mel frames."""

    token_rate: float
    """Tokens per second."""
    sample_rate: int
    """Samples per second."""
    hop: int
    """Samples from one mel frame to the next; frame j is centred at (j + 1/2) x hop samples."""

    @property
    def frames_per_token(self) -> Fraction:
        """Mel frames per token."""
        return Fraction(self.sample_rate, self.hop) / Fraction(self.token_rate)

    def num_frames(self, num_tokens: int) -> int:
        """Number of mel frames whose centre lies within the first `num_tokens` tokens."""
        return max(0, math.ceil(num_tokens * self.frames_per_token - Fraction(1, 2)))

    def read(self, subframes_BSC: Tensor, *, first_token: int, last_token: int) -> Tensor:
        """Interpolate the frames of the tokens `first_token` to `last_token` - 1: [B, T, C].

        `subframes_BSC` holds the subframe before these tokens, then theirs; before the first token of all stands any.
        """
        first, last = self.num_frames(first_token), self.num_frames(last_token)
        # Subframe s stands at s + 1, so that the first token's first part, before any subframe, takes subframe 0.
        places = (np.arange(first, last) + 0.5) * float(SUBFRAMES / self.frames_per_token) - 1
        places = np.maximum(places, 0) - (first_token * SUBFRAMES - 1)
        left = np.minimum(np.floor(places).astype(np.int64), subframes_BSC.shape[1] - 2)
        weight = torch.from_numpy(places - left).to(subframes_BSC)[:, None]
        index = torch.from_numpy(left).to(subframes_BSC.device)
        return torch.lerp(subframes_BSC[:, index], subframes_BSC[:, index + 1], weight)
