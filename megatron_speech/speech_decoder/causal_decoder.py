"""The causal speech decoder: mel frames by `CausalMel`, their samples by HiFi-GAN, whole or as codes arrive.

Both give the same sound to rounding, for neither reads anything but a fixed number of tokens and frames ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from megatron_speech.config.stages.causal_decoder import SpeakingConfig
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.interface import PLAIN, SpeechDecoderFacts, SpeechStream
from megatron_speech.speech_decoder.vocoder import HifiGan, require_mel
from megatron_speech.speech_decoder.vocoder_stream import VocoderStream


@dataclass(frozen=True, kw_only=True)
class CausalDecoder:
    """A `SpeechDecoder` that streams."""

    net: CausalMel
    vocoder: HifiGan

    @classmethod
    def load(cls, folder: Path, vocoder: Path) -> CausalDecoder:
        """Load both networks from their folders; ValueError if their mel settings differ."""
        made = cls(net=CausalMel.load(folder), vocoder=HifiGan.load(vocoder))
        require_mel(made.net.shape.mel, folder, made.vocoder.mel, vocoder)
        return made

    @property
    def facts(self) -> SpeechDecoderFacts:
        """Sample rate of the vocoder; the other facts are those of the network before it."""
        return self.net.shape.identity.facts(self.vocoder.mel.sample_rate)

    def decode(self, codes: np.ndarray, speaking: SpeakingConfig = PLAIN) -> np.ndarray:
        """Decode the codes int32 [N] of one utterance into a waveform float32 [samples].

        Raises ValueError for an empty utterance, a code outside the codebook, or settings that it cannot follow.
        """
        waveform: np.ndarray = self.vocoder.vocode(self.net.decode(torch.from_numpy(codes), speaking)).numpy()
        return waveform

    def streaming(self, speaking: SpeakingConfig = PLAIN) -> SpeechStream:
        """Begin a stream; ValueError for settings that the decoder cannot follow."""
        return CausalStream(self, speaking)


class CausalStream:
    """A `SpeechStream` of a `CausalDecoder`; its state does not grow with the stream."""

    def __init__(self, decoder: CausalDecoder, speaking: SpeakingConfig) -> None:
        self._mel, self._vocoder = decoder.net.stream(speaking), VocoderStream(decoder.vocoder)
        self._finished = False

    @property
    def held_bytes(self) -> int:
        """Bytes of the state between two pieces."""
        return self._mel.held_bytes + self._vocoder.held_bytes

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Continue by codes int32 [N]; returns the samples float32 that they complete. N may be 0.

        Raises ValueError for a code outside the codebook; the stream is then unchanged.
        """
        self._require_open()
        samples: np.ndarray = self._vocoder.push(self._mel.push(torch.from_numpy(codes))).numpy()
        return samples

    def finish(self) -> np.ndarray:
        """End the stream; returns its last samples, float32."""
        self._require_open()
        self._finished = True
        last = self._vocoder.push(self._mel.finish())
        return torch.cat([last, self._vocoder.finish()]).numpy()

    def _require_open(self) -> None:
        if self._finished:
            raise ValueError("streaming: this stream is finished; make a new one")
