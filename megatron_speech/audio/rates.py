"""Sample, frame and token rates of speech, derived from each other by exact division.

One second of audio (16,000 samples) becomes 100 log-mel frames (hop of 160 samples). A whole number of frames becomes
one speech token (8 frames: 12.5 tokens per second, arXiv 2411.17607). Rates that do not divide are refused at once,
because they would drift. Limitation: no fractional hops.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class SpeechRates:
    """Rates of one speech tokenizer; raises ValueError unless `hop` divides `sample_rate`."""

    sample_rate: int = 16000
    """Samples per second."""
    hop: int = 160
    """Samples between two log-mel frames."""
    frames_per_token: int = 8
    """Log-mel frames per speech token."""

    def __post_init__(self) -> None:
        for name in ("sample_rate", "hop", "frames_per_token"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0; use a positive number")
        if self.sample_rate % self.hop:
            raise ValueError(f"hop={self.hop} must divide sample_rate={self.sample_rate}; 160 divides 16000")

    @classmethod
    def of_token_rate(cls, token_rate: float, *, sample_rate: int = 16000, hop: int = 160) -> SpeechRates:
        """Rates with `token_rate` tokens per second; raises ValueError unless a token is a whole number of frames."""
        frames = Fraction(sample_rate, hop) / Fraction(token_rate)
        if frames.denominator != 1:
            raise ValueError(
                f"token_rate={token_rate} is not a whole division of {sample_rate // hop} frames per second; "
                "choose one of 50, 25, 12.5, 6.25"
            )
        return cls(sample_rate=sample_rate, hop=hop, frames_per_token=int(frames))

    @property
    def frame_rate(self) -> int:
        """Log-mel frames per second."""
        return self.sample_rate // self.hop

    @property
    def samples_per_token(self) -> int:
        """Samples of the waveform to one speech token."""
        return self.hop * self.frames_per_token

    @property
    def token_rate(self) -> float:
        """Speech tokens per second."""
        return self.frame_rate / self.frames_per_token

    def frames(self, num_samples: int) -> int:
        """Number of whole frames in `num_samples` samples."""
        return num_samples // self.hop

    def tokens(self, num_samples: int) -> int:
        """Number of tokens that cover `num_samples` samples, rounded up."""
        return -(-num_samples // self.samples_per_token)

    def seconds(self, num_tokens: int) -> float:
        """Duration of `num_tokens` tokens in seconds."""
        return num_tokens * self.samples_per_token / self.sample_rate
