"""The interface of speech tokenizers: waveforms to codes, whole or as they are spoken, and codes to text.

A speech tokenizer lies in a folder (`folder`). `table.load_speech_tokenizer` finds its class.
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
    """What is known of a speech tokenizer before its weights are loaded."""

    sample_rate: int
    """Samples per second (Hz) that it takes."""
    samples_per_code: int
    """Samples that one code stands for."""
    codebook_size: int
    """Number of codes; a code is in 0 .. codebook_size - 1."""
    max_codes: int
    """Codes of the longest clip that is encoded at once; longer speech is cut before."""
    causal: bool
    """Whether the codes of a block depend on nothing behind it, so that they are the same in a stream."""
    fingerprint: str
    """Equal exactly when codes mean the same."""

    @property
    def frame_rate(self) -> float:
        """Codes per second (Hz)."""
        return self.sample_rate / self.samples_per_code

    @property
    def max_samples(self) -> int:
        """Samples of the longest clip."""
        return self.max_codes * self.samples_per_code


class SpeechStream(Protocol):
    """One stream of speech that is being encoded."""

    @property
    def num_samples(self) -> int:
        """Samples so far."""

    def blocks(self, samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
        """Codes int32 of every block that the mono float samples [N] complete, as soon as it is computed."""

    def end(self) -> Iterator[np.ndarray]:
        """Codes int32 of what is left; nothing can be added after."""


class CodeRecognizer(Protocol):
    """Reads codes back to text: the measure of what codes carry, also of codes that no audio was made for."""

    @property
    def language(self) -> str | None:
        """Language that it writes; None where it decides by itself."""

    @property
    def max_codes(self) -> int:
        """Codes of the longest sequence that it takes."""

    def recognize(self, codes: Sequence[np.ndarray]) -> list[str]:
        """Text of each sequence of codes int [T], in their order; empty codes give the empty text."""


class SpeechTokenizer(Protocol):
    """A speech tokenizer, ready to run."""

    @property
    def facts(self) -> SpeechTokenizerFacts:
        """Its rates, sizes and fingerprint."""

    @property
    def recognizer(self) -> CodeRecognizer | None:
        """What reads its codes; None where its folder holds nothing that does."""

    def encode(
        self,
        waveforms: Sequence[np.ndarray],
        *,
        sample_rate: int = SAMPLE_RATE,
        batch_seconds: float = 120.0,
        names: Sequence[str] | None = None,
    ) -> list[np.ndarray]:
        """Codes int32 [ceil(samples / samples_per_code)] of mono float waveforms, in their order.

        ValueError names, by `names`, a clip that is empty, not finite, at another rate or too long.
        """

    def streaming(self) -> SpeechStream:
        """A new stream, whose codes are those of `encode`; ValueError where codes wait for the end of the clip."""


class SpeechTokenizerKind(Protocol):
    """A class of speech tokenizers."""

    def read_facts(self, folder: Path) -> SpeechTokenizerFacts:
        """Facts of the tokenizer in `folder`, without its weights."""

    def load(self, folder: Path, *, device: torch.device | str, features: Features, masked: bool) -> SpeechTokenizer:
        """The tokenizer in `folder`.

        Args:
            device: where it computes.
            features: what computes log-mel frames.
            masked: whether clips of a causal tokenizer may be encoded together under a mask, which keeps a GPU busy
                and may change codes where two are equally near.
        """
