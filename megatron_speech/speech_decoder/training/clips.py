"""Reads the clips of a decoder's training: codes, mel frames, voice, and the random choices that belong to a clip.

All choices are functions of the seed, the step and the place in the batch, so ranks and micro-batches change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from megatron_speech.audio.io import SAMPLE_RATE, resample
from megatron_speech.config.stages.train_causal_decoder import TrainCausalDecoderConfig
from megatron_speech.randomness import named_keys, uniform_at
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.mel import log_mel
from megatron_speech.speech_decoder.training.sources import Source
from megatron_speech.speech_training.order import StepBatch


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One training utterance, or a part of it."""

    codes_N: Tensor
    """Codes, int64."""
    mel_TM: Tensor
    """Log-mel frames of these codes; at least one."""
    voice: int = 0
    """Row of the voice; 0 is no voice in particular."""
    key: int = 0
    """Seed of its noise."""

    @cached_property
    def draws(self) -> np.ndarray:
        """Four numbers in [0, 1): time of the flow, leaving out the codes, leaving out the voice, step of a student."""
        return uniform_at(np.full(4, self.key, np.uint64), np.arange(4))

    def noise(self) -> Tensor:
        """Normally distributed noise of the shape of the mel frames."""
        generator = torch.Generator().manual_seed(self.key >> 1)
        return torch.randn(self.mel_TM.shape, generator=generator)


class ClipReader:
    """Reads clips of sources for a network; safe to use from several threads."""

    def __init__(self, config: TrainCausalDecoderConfig, sources: Sequence[Source], net: CausalMel) -> None:
        self._config, self.sources, self._net = config, sources, net
        identity = net.shape.identity
        self._samples_per_token = SAMPLE_RATE / identity.frame_rate
        self._most = None if config.clip_seconds is None else max(2, round(config.clip_seconds * identity.frame_rate))

    def clip(self, step: int, batch: StepBatch, place: int) -> Clip:
        """Read the clip at `place` of the batch of `step`."""
        key = int(named_keys(self._config.seed, f"clip of step {step}", np.array([place]))[0])
        source = self.sources[int(batch.sources[place])]
        return self.read(source, int(batch.utterances[place]), key=key)

    def read(self, source: Source, utterance: int, *, key: int | None = None) -> Clip:
        """Read an utterance whole; with a `key` a clip of it, as training takes it."""
        codes, waveform = source.codes(utterance), source.index.waveform(utterance)
        if key is not None and self._most is not None and len(codes) > self._most:
            first = key % (len(codes) - self._most + 1)
            codes = codes[first : first + self._most]
            begin, end = (round((first + count) * self._samples_per_token) for count in (0, self._most))
            waveform = waveform[begin:end]
        mel_settings = self._net.shape.mel
        mel = log_mel(torch.from_numpy(resample(waveform, SAMPLE_RATE, mel_settings.sample_rate)), mel_settings)
        name = source.voice(utterance)
        return Clip(
            codes_N=codes,
            mel_TM=mel[: self._net.clock.num_frames(len(codes))],
            voice=self._net.voice_number(name) if name in self._net.shape.voices else 0,
            key=key or 0,
        )
