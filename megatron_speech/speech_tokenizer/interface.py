"""The interface of speech tokenizers: whole waveforms or streams to codes, and codes to text.

A speech tokenizer is stored in a folder (`folder`). `table.load_speech_tokenizer` finds its class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from megatron_speech.audio.features import Features
from megatron_speech.audio.io import SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class SpeechTokenizerFacts:
    """Rates and sizes of a speech tokenizer, known before its weights are loaded."""

    sample_rate: int
    """Samples per second (Hz) of its input."""
    samples_per_code: int
    """Samples per code."""
    codebook_size: int
    """Number of codes; a code is in 0 .. codebook_size - 1."""
    max_codes: int
    """Codes of the longest clip; callers cut longer speech."""
    causal: bool
    """Whether the codes of a block do not depend on later audio, so that a stream gives the same codes."""
    fingerprint: str
    """Hash of the tokenizer; codes of equal fingerprints mean the same."""

    @property
    def frame_rate(self) -> float:
        """Codes per second (Hz)."""
        return self.sample_rate / self.samples_per_code

    @property
    def max_samples(self) -> int:
        """Samples of the longest clip."""
        return self.max_codes * self.samples_per_code


class SpeechStream(Protocol):
    """Encodes one stream of speech, chunk by chunk."""

    @property
    def num_samples(self) -> int:
        """Number of samples received so far."""

    def blocks(self, samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
        """Add mono float samples [N]; yields the codes int32 of each block that they complete."""

    def end(self) -> Iterator[np.ndarray]:
        """End the stream; yields the codes int32 of the remaining samples."""


class CodeRecognizer(Protocol):
    """Recognises text from codes: measures how well codes carry words, recorded or synthetic."""

    @property
    def language(self) -> str | None:
        """Language of the text; None if the recogniser detects it."""

    @property
    def max_codes(self) -> int:
        """Codes of the longest sequence."""

    def recognize(self, codes: Sequence[np.ndarray]) -> list[str]:
        """Text of each sequence of codes int [T], in order; empty codes give the empty text."""


class SpeechTokenizer(Protocol):
    """A loaded speech tokenizer."""

    @property
    def facts(self) -> SpeechTokenizerFacts:
        """Rates, sizes and fingerprint."""

    @property
    def recognizer(self) -> CodeRecognizer | None:
        """Recogniser of the codes; None if the folder holds none."""

    def encode(
        self,
        waveforms: Sequence[np.ndarray],
        *,
        sample_rate: int = SAMPLE_RATE,
        batch_seconds: float = 120.0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray]:
        """Codes int32 [ceil(samples / samples_per_code)] of each mono float waveform, in order.

        Raises ValueError, with the clip's name from `names`, for a clip that is empty, not finite, at another rate or
        too long.
        """

    def streaming(self) -> SpeechStream:
        """Start a stream, which gives the codes of `encode`; ValueError if the tokenizer is not causal."""


class SpeechTokenizerKind(Protocol):
    """A class of speech tokenizers, which loads one from its folder."""

    def read_facts(self, folder: Path) -> SpeechTokenizerFacts:
        """Read the facts of the tokenizer in `folder`, without its weights."""

    def load(self, folder: Path, *, device: torch.device | str, features: Features, masked: bool) -> SpeechTokenizer:
        """Load the tokenizer in `folder`.

        Args:
            device: device of the weights.
            features: function that computes log-mel frames.
            masked: encode clips of a causal tokenizer in one batch under an attention mask. This suits a GPU, but may
                change a code where two are equally near.
        """
