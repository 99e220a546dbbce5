"""The configuration of a speech tokenizer: Whisper's, with the keys of the released GLM-4-Voice tokenizer.

Names, meanings and defaults are those of the released code, so its folders load unchanged. A plain Whisper folder is
the case without pooling and codebook, and runs through the same code.

Attention: with `encoder_causal_attention` every layer is causal, with `quantize_causal_encoder` those before the
codebook. With `quantize_causal_block_size` every other layer sees up to the end of its block. Without these keys a
layer sees the whole clip.

Limitation: the released code does not know two keys that this project adds (marked below).
"""

from __future__ import annotations

from transformers import WhisperConfig

from megatron_speech.audio.features import HOP, Blocks
from megatron_speech.audio.rates import SpeechRates

CONV_STRIDE = 2
"""Log-mel frames per encoder frame: the second convolution halves the rate to 50 Hz."""


class WhisperVQConfig(WhisperConfig):
    """WhisperConfig with the settings of the bottleneck; `quantize_vocab_size=None` is Whisper itself."""

    pooling_kernel_size: int | None = None
    """Encoder frames (50 Hz) averaged into one; 4 gives 12.5 Hz; None keeps 50 Hz."""
    pooling_type: str = "max"
    """Kind of pooling; with pooling only "avg" is implemented."""
    pooling_position: int | None = None
    """Number of layers before the pooling."""
    quantize_vocab_size: int | None = None
    """Codebook size; None for no bottleneck."""
    quantize_position: int = 16
    """Number of layers before the codebook; later layers see code vectors only."""
    quantize_ema_decay: float | None = None
    """Decay of the codebook's running averages; None for a fixed codebook."""
    quantize_commit_coefficient: float = 0.25
    """Weight of the commitment loss, times `quantize_loss_scale`."""
    quantize_loss_scale: float = 1.0
    """Second factor of the commitment loss."""
    quantize_restart_interval: int | None = None
    """Updates between two restarts of dead codes; None for no restarts."""
    quantize_encoder_only: bool = False
    """Whether the folder holds only the layers before the codebook, and so cannot recognise."""
    quantize_causal_block_size: int | None = None
    """Encoder frames (50 Hz) per block of attention: 100 in the paper (2 s), 200 in the released model (4 s)."""
    quantize_causal_encoder: bool = False
    encoder_causal_attention: bool = False
    encoder_causal_convolution: bool = False
    """Whether convolutions see the past only; states then come one encoder frame (20 ms) later."""
    skip_language_detection: bool = False
    quantize_subtract_position_means: bool = False
    """Added here: quantise each state minus the mean state of its position (`position_means`). So codes do not depend
    on where a sound stands in the clip; the position table after the codebook adds the position again."""
    log_mel_floor: str | None = None
    """Added here: reference of the floor of log-mel frames, which lies 8 decades below it. "clip": the loudest bin of
    the clip, as in Whisper and the released code; it cannot stream. "block": the loudest bin up to the end of the
    frame's block. None is "clip"."""

    def require_supported(self, holder: str) -> None:
        """Raise ValueError for the first key with an impossible or unsupported value; `holder` is named in it."""
        # Pooling and blocks.
        pooling = self.pooling_kernel_size or 1
        if self.pooling_kernel_size is not None and self.pooling_type != "avg":
            raise ValueError(f"{holder}: pooling_type={self.pooling_type}: only avg is implemented; use it")
        if not 1 <= pooling <= self.max_source_positions:
            raise ValueError(
                f"{holder}: pooling_kernel_size={pooling} must lie in 1..max_source_positions="
                f"{self.max_source_positions}, else the longest clip has no code; use 4 for 12.5 Hz"
            )
        block = self.quantize_causal_block_size
        if block is not None and (block < 1 or block % pooling):
            raise ValueError(
                f"{holder}: quantize_causal_block_size={block} must be a positive multiple of pooling_kernel_size="
                f"{pooling}, else a code would straddle two blocks; use a multiple"
            )
        # Floor of the log-mel frames.
        if self.log_mel_floor not in (None, "clip", "block"):
            raise ValueError(f"{holder}: log_mel_floor={self.log_mel_floor} must be clip, block or null; use null")
        if self.log_mel_floor == "block" and self.block_frames is None:
            raise ValueError(
                f"{holder}: log_mel_floor=block needs blocks, but attention is bidirectional; use clip, or set "
                "quantize_causal_block_size"
            )
        # Order of pooling and codebook among the layers.
        if self.quantize_vocab_size is None:
            return
        pooled_at = self.pooling_position if self.pooling_kernel_size is not None else 0
        if pooled_at is None or not 0 <= pooled_at <= self.quantize_position <= self.encoder_layers:
            raise ValueError(
                f"{holder}: pooling_position={pooled_at}, quantize_position={self.quantize_position}: must satisfy "
                f"0 <= pooling_position <= quantize_position <= {self.encoder_layers} layers; move them"
            )

    @property
    def rates(self) -> SpeechRates:
        """Rates of samples, frames and tokens."""
        return SpeechRates(hop=HOP, frames_per_token=CONV_STRIDE * (self.pooling_kernel_size or 1))

    @property
    def max_codes(self) -> int:
        """Codes of the longest clip, rounded down: 375 at 12.5 Hz (30 s), 187 at 6.25 Hz (29.92 s)."""
        return self.max_source_positions // (self.pooling_kernel_size or 1)

    @property
    def max_samples(self) -> int:
        """Samples of the longest clip."""
        return self.max_codes * self.rates.samples_per_token

    def looks_back(self, layer: int) -> bool:
        """Whether the attention of `layer` is causal frame by frame."""
        return self.encoder_causal_attention or (self.quantize_causal_encoder and layer < self.quantize_position)

    @property
    def block_frames(self) -> int | None:
        """Encoder frames per block: codes do not depend on later blocks. None for a bidirectional encoder."""
        return (self.pooling_kernel_size or 1) if self.looks_back(0) else self.quantize_causal_block_size

    @property
    def mel_blocks(self) -> Blocks | None:
        """Blocks of log-mel frames; a convolution that is not causal also sees the first frame of the next block."""
        if self.block_frames is None:
            return None
        return Blocks(frames=CONV_STRIDE * self.block_frames, lead=0 if self.encoder_causal_convolution else 1)

    @property
    def floor_blocks(self) -> Blocks | None:
        """Blocks with a log-mel floor each; None for one floor per clip."""
        return self.mel_blocks if self.log_mel_floor == "block" else None
