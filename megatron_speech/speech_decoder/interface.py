"""The interface of speech decoders, which turn codes into a waveform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


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


class SpeechDecoder(Protocol):
    """A loaded speech decoder."""

    @property
    def facts(self) -> SpeechDecoderFacts:
        """Rates of the decoder and fingerprint of its speech tokenizer."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decode the codes int32 [N] of one utterance into a waveform float32 [samples].

        Raises ValueError for an empty utterance or a code outside the codebook.
        """


LoadDecoder = Callable[[Path, Path], SpeechDecoder]
"""Loads the decoder in a folder (config.json) with the vocoder in a second folder; ValueError if they do not fit."""
