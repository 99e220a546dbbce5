"""Settings of decoding codes as they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field

from megatron_speech.config.parsing.inputs import SpeechDecoderFolder, VocoderFolder
from megatron_speech.config.stages.causal_decoder import SpeakingConfig


@dataclass(frozen=True, kw_only=True)
class StreamDecodeConfig:
    """Decode codes on standard input to sound on standard output, as they arrive."""

    decoder: SpeechDecoderFolder
    """Folder of a causal speech decoder, trained on the speech tokenizer that makes the codes."""
    vocoder: VocoderFolder
    """Folder of the vocoder that the speech decoder was trained for."""
    speaking: SpeakingConfig = field(default_factory=SpeakingConfig)
    """How the decoder speaks."""
