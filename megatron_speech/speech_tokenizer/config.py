"""The shape of a tokenizer: Whisper's configuration with the keys of the released GLM-4-Voice tokenizer.

Names, meanings and defaults are the released model's, so that its folder describes itself: a key that it leaves out
means here what it means there. A plain Whisper folder is the special case without pooling and without codebook:
encoder, decoder and judge are then one piece of code. Who may look at whom, layer by layer, as in the released code:

    encoder_causal_attention             every layer looks back only
    quantize_causal_encoder              layers before the codebook look back only
    quantize_causal_block_size           every other layer sees up to the end of its block
    none of them                         everything

Price: two keys of our own (below), which the released code does not know.
"""

from __future__ import annotations

from transformers import WhisperConfig

from megatron_speech.audio.features import HOP, Blocks
from megatron_speech.audio.rates import SpeechRates

CONV_STRIDE = 2
"""Log-mel frames per encoder frame: the second convolution halves the rate to 50 Hz."""


class WhisperVQConfig(WhisperConfig):
    """WhisperConfig plus the bottleneck; `quantize_vocab_size=None` is Whisper itself."""

    pooling_kernel_size: int | None = None
    """Encoder frames (50 Hz) averaged into one; 4 gives 12.5 Hz; None keeps 50 Hz."""
    pooling_type: str = "max"
    """Only "avg" is implemented; where nothing is pooled it does not matter."""
    pooling_position: int | None = None
    """Layers before the pooling."""
    quantize_vocab_size: int | None = None
    """Codes in the codebook; None for no bottleneck."""
    quantize_position: int = 16
    """Layers before the bottleneck; the rest see codes only."""
    quantize_ema_decay: float | None = None
    """Weight of the past in the codebook's running averages; None: there are none, and the codebook stays as it is."""
    quantize_commit_coefficient: float = 0.25
    """Weight of the commitment loss, times `quantize_loss_scale`."""
    quantize_loss_scale: float = 1.0
    """Further factor on the commitment loss."""
    quantize_restart_interval: int | None = None
    """Updates between two restarts of dead codes; None: never."""
    quantize_encoder_only: bool = False
    """The folder holds only the layers before the bottleneck: it can encode, not recognise."""
    quantize_causal_block_size: int | None = None
    """Encoder frames (50 Hz) per block of attention: 100 in the paper (2 s), 200 in the released model (4 s)."""
    quantize_causal_encoder: bool = False
    encoder_causal_attention: bool = False
    encoder_causal_convolution: bool = False
    """Convolutions see the past only: every state comes one encoder frame (20 ms) later."""
    skip_language_detection: bool = False
    quantize_subtract_position_means: bool = False
    """Ours: quantise states less the mean state of their position (`position_means`), so that codes say what is spoken
    and not when; behind the codebook the position table brings it back."""
    log_mel_floor: str | None = None
    """Ours: what the floor of the log-mel frames, 8 decades, lies below. "clip": the clip's loudest bin, as in Whisper
    and the released code, which looks ahead and cannot stream. "block": the loudest bin up to the end of the frame's
    block. None: "clip"."""

    def require_supported(self, holder: str) -> None:
        """ValueError naming the first key of `holder` that asks for what is impossible or not implemented."""
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
        if self.log_mel_floor not in (None, "clip", "block"):
            raise ValueError(f"{holder}: log_mel_floor={self.log_mel_floor} must be clip, block or null; use null")
        if self.log_mel_floor == "block" and self.block_frames is None:
            raise ValueError(
                f"{holder}: log_mel_floor=block needs blocks, but attention is bidirectional; use clip, or set "
                "quantize_causal_block_size"
            )
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
        """Samples, frames and tokens of this shape."""
        return SpeechRates(hop=HOP, frames_per_token=CONV_STRIDE * (self.pooling_kernel_size or 1))

    @property
    def max_codes(self) -> int:
        """Codes of the longest clip, all whole: 375 at 12.5 Hz (30 s), 187 at 6.25 Hz (29.92 s of Whisper's table)."""
        return self.max_source_positions // (self.pooling_kernel_size or 1)

    @property
    def max_samples(self) -> int:
        """Samples of the longest clip."""
        return self.max_codes * self.rates.samples_per_token

    def looks_back(self, layer: int) -> bool:
        """Whether the frames of `layer` look back only."""
        return self.encoder_causal_attention or (self.quantize_causal_encoder and layer < self.quantize_position)

    @property
    def block_frames(self) -> int | None:
        """Encoder frames whose codes become known together; None where every code waits for the clip's end."""
        return (self.pooling_kernel_size or 1) if self.looks_back(0) else self.quantize_causal_block_size

    @property
    def mel_blocks(self) -> Blocks | None:
        """How log-mel frames fall into blocks: a convolution that looks ahead sees the next block's first frame."""
        if self.block_frames is None:
            return None
        return Blocks(frames=CONV_STRIDE * self.block_frames, lead=0 if self.encoder_causal_convolution else 1)

    @property
    def floor_blocks(self) -> Blocks | None:
        """The blocks of the floor; None for one floor per clip."""
        return self.mel_blocks if self.log_mel_floor == "block" else None
