"""The shape of a tokenizer: Whisper's configuration with the keys of the released GLM-4-Voice tokenizer.

Names and meanings are the released model's, so that its folder describes itself. A plain Whisper folder is the special
case without pooling and without codebook: encoder, decoder and judge are then one piece of code. What this version
cannot do (causal convolutions, block-causal attention) is refused when a configuration asks for it.
"""

from __future__ import annotations

from transformers import WhisperConfig

from megatron_speech.audio.features import HOP
from megatron_speech.audio.rates import SpeechRates

CONV_STRIDE = 2
"""Log-mel frames per encoder frame: the second convolution halves the rate to 50 Hz."""


class WhisperVQConfig(WhisperConfig):
    """WhisperConfig plus the bottleneck; `quantize_vocab_size=None` is Whisper itself."""

    pooling_kernel_size: int | None = None
    """Encoder frames (50 Hz) averaged into one; 4 gives 12.5 Hz; None keeps 50 Hz."""
    pooling_type: str = "avg"
    """Only "avg"."""
    pooling_position: int | None = None
    """Layers before the pooling."""
    quantize_vocab_size: int | None = None
    """Codes in the codebook; None for no bottleneck."""
    quantize_position: int = 16
    """Layers before the bottleneck; the rest see codes only."""
    quantize_ema_decay: float | None = 0.99
    """Weight of the past in the codebook's running averages; None: the codebook is left as it is."""
    quantize_commit_coefficient: float = 0.25
    """Weight of the commitment loss, times `quantize_loss_scale`."""
    quantize_loss_scale: float = 1.0
    """Further factor on the commitment loss."""
    quantize_restart_interval: int | None = 100
    """Updates between two restarts of dead codes; None: never."""
    quantize_encoder_only: bool = False
    """The folder holds only the layers before the bottleneck: it can encode, not recognise."""
    quantize_subtract_position_means: bool = False
    """Ours: quantise states less the mean state of their position (`position_means`), so that codes say what is spoken
    and not when; behind the codebook the position table brings it back."""
    quantize_causal_block_size: int | None = None
    quantize_causal_encoder: bool = False
    encoder_causal_attention: bool = False
    encoder_causal_convolution: bool = False
    skip_language_detection: bool = False

    def require_supported(self, holder: str) -> None:
        """ValueError naming the first key of `holder` that asks for what this version does not do."""
        for key in ("quantize_causal_encoder", "encoder_causal_attention", "encoder_causal_convolution"):
            if getattr(self, key):
                raise ValueError(
                    f"{holder}: {key}=true: causal encoders are not implemented; use a bidirectional tokenizer"
                )
        if self.quantize_causal_block_size is not None:
            raise ValueError(
                f"{holder}: quantize_causal_block_size={self.quantize_causal_block_size}: block-causal attention "
                "is not implemented; use a bidirectional tokenizer"
            )
        if self.pooling_kernel_size is not None and self.pooling_type != "avg":
            raise ValueError(f"{holder}: pooling_type={self.pooling_type}: only avg is implemented; use it")
        if self.quantize_vocab_size is None:
            return
        pooling = self.pooling_position if self.pooling_kernel_size is not None else 0
        if pooling is None or not 0 <= pooling <= self.quantize_position <= self.encoder_layers:
            raise ValueError(
                f"{holder}: pooling_position={pooling}, quantize_position={self.quantize_position}: must satisfy "
                f"0 <= pooling_position <= quantize_position <= {self.encoder_layers} layers; move them"
            )

    @property
    def rates(self) -> SpeechRates:
        """Samples, frames and tokens of this shape."""
        return SpeechRates(hop=HOP, frames_per_token=CONV_STRIDE * (self.pooling_kernel_size or 1))

    @property
    def max_codes(self) -> int:
        """Codes of the longest clip: what the position table covers (30 s in a Whisper model)."""
        return self.max_source_positions // (self.pooling_kernel_size or 1)

    @property
    def max_samples(self) -> int:
        """Samples of the longest clip."""
        return self.max_codes * self.rates.samples_per_token
