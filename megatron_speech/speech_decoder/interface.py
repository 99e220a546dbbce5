"""The interface of speech decoders: codes to a waveform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SpeechDecoderFacts:
    """What a speech decoder takes and gives."""

    sample_rate: int
    """Samples per second (Hz) of its waveforms."""
    frame_rate: float
    """Codes per second (Hz)."""
    codebook_size: int
    """Number of codes; a code is in 0 .. codebook_size - 1."""
    speech_fingerprint: str
    """Fingerprint of the speech tokenizer whose codes it decodes."""


class SpeechDecoder(Protocol):
    """A speech decoder, ready to run."""

    @property
    def facts(self) -> SpeechDecoderFacts:
        """Its rates, and the tokenizer that it belongs to."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Waveform float32 [samples] of one utterance's codes int32 [N]; ValueError for codes that are not its own."""


LoadDecoder = Callable[[Path, Path], SpeechDecoder]
"""Loads the decoder in a folder (config.json) with the vocoder in a second folder; ValueError where they differ."""
