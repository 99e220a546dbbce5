"""Vocodes mel frames as they arrive, by overlap-save: the samples are those of the whole, to rounding.

A frame's samples depend on `HifiGan.reach` frames on either side. So they are made once these have arrived, and frames
beside them are computed again, of which nothing is kept. Nothing is faded. Cost: a piece of 7 frames is computed with
26 beside it, 4.7 times as much work as for the whole; longer pieces cost less.
"""

from __future__ import annotations

import torch
from torch import Tensor

from megatron_speech.speech_decoder.vocoder import HifiGan


class VocoderStream:
    """The samples of one stream of mel frames."""

    def __init__(self, vocoder: HifiGan) -> None:
        self._vocoder = vocoder
        self._before, self._after = vocoder.reach
        self._mel = vocoder.conv_pre.weight.new_zeros(0, vocoder.mel.num_mels)
        self._heard = 0  # frames at the start of `_mel` whose samples are made

    def push(self, mel: Tensor) -> Tensor:
        """Continue by log-mel frames [T, M]; returns the samples [T' x hop] that they complete. T may be 0."""
        self._mel = torch.cat([self._mel, mel])
        return self._vocode(len(self._mel) - self._after)

    def finish(self) -> Tensor:
        """End the stream; returns its last samples."""
        return self._vocode(len(self._mel))

    @property
    def held_bytes(self) -> int:
        """Bytes of the frames between two pieces."""
        return self._mel.numel() * self._mel.element_size()

    def _vocode(self, last: int) -> Tensor:
        """Make the samples up to frame `last`, and drop the frames that no later one depends on."""
        hop = self._vocoder.mel.hop
        if last <= self._heard:
            return self._mel.new_zeros(0)
        samples = self._vocoder.vocode(self._mel[: last + self._after])[self._heard * hop : last * hop]
        drop = max(0, last - self._before)
        self._mel, self._heard = self._mel[drop:].clone(), last - drop
        return samples
