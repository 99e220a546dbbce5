"""Settings of the bottleneck that turns a Whisper model into a speech tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.config.parsing.bounds import require_bounds


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """Position and size of the pooling and the codebook inside Whisper's encoder."""

    frame_rate: float = 12.5
    """Codes per second: 50, 25, 12.5 or 6.25."""
    codebook_size: int = 1024
    """Number of codes; the released tokenizer has 16,384 at 12.5 Hz."""
    pooling_position: int = 2
    """Number of encoder layers before the average pooling."""
    quantize_position: int = 2
    """Number of encoder layers before the codebook; at least pooling_position."""
    block_seconds: float | None = None
    """Block length in seconds for block-causal attention, which allows encoding live speech; null for bidirectional
    attention. The paper uses 2, the released model 4."""
    causal_convolution: bool = False
    """Use causal convolutions, as in the released model."""
    subtract_position_means: bool = True
    """Subtract the mean state of each position before quantizing. Whisper's middle layers still encode the position of
    every frame (a third of the variance after layer 2 of tiny.en). Without this, codes are spent on it."""
    ema_decay: float = 0.99
    """Decay rate of the codebook's moving averages."""
    commit_coefficient: float = 0.25
    """Weight of the commitment loss."""
    restart_interval: int = 100
    """Steps between two restarts of unused codes."""
    kmeans_iterations: int = 12
    """Iterations of k-means that initialize the codebook."""

    def __post_init__(self) -> None:
        if self.frame_rate not in (50, 25, 12.5, 6.25):
            raise ValueError(
                f"bottleneck.frame_rate={self.frame_rate} must be 50, 25, 12.5 or 6.25; 12.5 is the paper's choice"
            )
        for name, least, most, remedy in (
            ("codebook_size", 1, 1 << 20, "the paper's largest is 16,384"),
            ("restart_interval", 1, 10**9, "100 is usual"),
            ("commit_coefficient", 0, 1e6, "0.25 is usual, 0 is none"),
            ("kmeans_iterations", 0, 10_000, "12 is usual, 0 takes the codebook at random from the states"),
            ("block_seconds", 0, 30, "Whisper's encoder takes 30 s at once; null is bidirectional"),
        ):
            require_bounds(f"bottleneck.{name}", getattr(self, name), least, most, remedy)
        if not 0 <= self.pooling_position <= self.quantize_position:
            raise ValueError(
                f"bottleneck.pooling_position={self.pooling_position} must lie in 0..quantize_position="
                f"{self.quantize_position}; pooling comes first"
            )
        tokens = None if self.block_seconds is None else self.block_seconds * self.frame_rate
        if tokens is not None and (round(tokens) < 1 or abs(tokens - round(tokens)) > 1e-9):
            raise ValueError(
                f"bottleneck.block_seconds={self.block_seconds} must hold a whole number of codes at frame_rate="
                f"{self.frame_rate}; use a multiple of {1 / self.frame_rate:g}, or null"
            )
        if not 0 < self.ema_decay < 1:
            raise ValueError(f"bottleneck.ema_decay={self.ema_decay} must lie in (0, 1); 0.99 is usual")

    @property
    def block_frames(self) -> int | None:
        """Encoder frames (50 Hz) per block; None for bidirectional attention."""
        return None if self.block_seconds is None else round(self.block_seconds * 50)
