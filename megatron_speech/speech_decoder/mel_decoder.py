"""The speech decoder of two networks: codes to a mel spectrogram, and mel spectrogram to waveform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from megatron_speech.speech_decoder.interface import SpeechDecoderFacts
from megatron_speech.speech_decoder.token_to_mel import TokenToMel
from megatron_speech.speech_decoder.vocoder import HifiGan


@dataclass(frozen=True, kw_only=True)
class MelDecoder:
    """A token-to-mel network and the vocoder whose spectrogram it has learnt."""

    net: TokenToMel
    vocoder: HifiGan

    @classmethod
    def load(cls, folder: Path, vocoder: Path) -> MelDecoder:
        """From the folders of both networks; ValueError unless they have one spectrogram."""
        made = cls(net=TokenToMel.load(folder), vocoder=HifiGan.load(vocoder))
        if made.net.mel != made.vocoder.mel:
            raise ValueError(
                f"{folder}: trained for {made.net.mel}, but vocoder {vocoder} wants {made.vocoder.mel}; retrain"
            )
        return made

    @property
    def facts(self) -> SpeechDecoderFacts:
        """Rates of both networks, and the tokenizer that the first has learnt."""
        identity = self.net.identity
        return SpeechDecoderFacts(
            sample_rate=self.vocoder.mel.sample_rate,
            frame_rate=identity.frame_rate,
            codebook_size=identity.codebook_size,
            speech_fingerprint=identity.speech_fingerprint,
        )

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Waveform float32 [samples] of one utterance's codes int32 [N]; ValueError for codes that are not its own."""
        waveform: np.ndarray = self.vocoder.vocode(self.net.decode(torch.from_numpy(codes))).numpy()
        return waveform
