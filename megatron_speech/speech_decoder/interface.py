"""The interface of speech decoders, which turn codes into a waveform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from megatron_speech.config.stages.causal_decoder import SpeakingConfig

PLAIN = SpeakingConfig()
"""Speaks as the decoder's folder says."""


@dataclass(frozen=True, kw_only=True)
class SpeechDecoderFacts:
    """Rates and sizes of a speech decoder."""

    sample_rate: int
    """Samples per second (Hz) of its waveforms."""
    frame_rate: float
    """Codes per second (Hz)."""
    codebook_size: int
    """Number of codes; a code is in 0 .. codebook_size - 1."""
    speech_fingerprint: str
    """Fingerprint of the speech tokenizer that made the codes."""


class SpeechStream(Protocol):
    """The sound of one stream of codes: joined, its pieces are what `SpeechDecoder.decode` makes of all codes."""

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Continue by codes int32 [N]; returns the samples float32 that they complete. N may be 0.

        Raises ValueError for a code outside the codebook; the stream is then unchanged.
        """

    def finish(self) -> np.ndarray:
        """End the stream; returns its last samples, float32."""


class SpeechDecoder(Protocol):
    """A loaded speech decoder."""

    @property
    def facts(self) -> SpeechDecoderFacts:
        """Rates of the decoder and fingerprint of its speech tokenizer."""

    def decode(self, codes: np.ndarray, speaking: SpeakingConfig = PLAIN) -> np.ndarray:
        """Decode the codes int32 [N] of one utterance into a waveform float32 [samples].

        Raises ValueError for an empty utterance, a code outside the codebook, or settings that it cannot follow.
        """

    def streaming(self, speaking: SpeakingConfig = PLAIN) -> SpeechStream:
        """Begin a stream; ValueError if the decoder needs whole utterances, or cannot follow the settings."""


LoadDecoder = Callable[[Path, Path], SpeechDecoder]
"""Loads the decoder in a folder (config.json) with the vocoder in a second folder; ValueError if they do not fit."""
