"""A speech decoder made of two networks: codes to a mel spectrogram, then mel spectrogram to waveform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from megatron_speech.config.stages.causal_decoder import SpeakingConfig
from megatron_speech.speech_decoder.interface import PLAIN, SpeechDecoderFacts, SpeechStream
from megatron_speech.speech_decoder.token_to_mel import TokenToMel
from megatron_speech.speech_decoder.vocoder import HifiGan, require_mel


@dataclass(frozen=True, kw_only=True)
class MelDecoder:
    """A `SpeechDecoder`: a token-to-mel network, and the vocoder of its mel spectrogram."""

    net: TokenToMel
    vocoder: HifiGan

    @classmethod
    def load(cls, folder: Path, vocoder: Path) -> MelDecoder:
        """Load both networks from their folders; ValueError if their mel settings differ."""
        made = cls(net=TokenToMel.load(folder), vocoder=HifiGan.load(vocoder))
        require_mel(made.net.mel, folder, made.vocoder.mel, vocoder)
        return made

    @property
    def facts(self) -> SpeechDecoderFacts:
        """Sample rate of the vocoder; the other facts are those of the token-to-mel network."""
        return self.net.identity.facts(self.vocoder.mel.sample_rate)

    def decode(self, codes: np.ndarray, speaking: SpeakingConfig = PLAIN) -> np.ndarray:
        """Decode the codes int32 [N] of one utterance into a waveform float32 [samples].

        Raises ValueError for an empty utterance, a code outside the codebook, or settings other than the defaults.
        """
        if speaking != PLAIN:
            raise ValueError(f"{speaking}: this speech decoder has one voice and no flow; leave these settings out")
        waveform: np.ndarray = self.vocoder.vocode(self.net.decode(torch.from_numpy(codes))).numpy()
        return waveform

    def streaming(self, speaking: SpeakingConfig = PLAIN) -> SpeechStream:
        """Raise ValueError: the network reads whole utterances."""
        raise ValueError("streaming: this speech decoder reads whole utterances; train a causal one")
