"""Augments clips with white noise on the samples and SpecAugment masks on the log-mel frames.

Masked values become the clip's mean. Random numbers depend on the seed, the step and the clip's place in the batch.
They do not change with the number of ranks or after a restart. Limitation: recorded noise and babble are harder than
white noise, and would teach more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from megatron_speech.audio.features import HOP, Blocks, torch_features
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.config.stages.train_speech_tokenizer import AugmentConfig
from megatron_speech.randomness import pcg64

MASKED_SHARE = 0.2
"""Largest share of a clip's frames that one time mask covers."""


def generator_of(seed: int, step: int, place: int) -> np.random.Generator:
    """Random generator of clip number `place` of a step."""
    return pcg64(seed, step, place)


def with_noise(waveform_N: torch.Tensor, config: AugmentConfig, generator: np.random.Generator) -> torch.Tensor:
    """Add white noise to a waveform [N], with the probability and level of `config`."""
    if generator.random() >= config.noise_probability:
        return waveform_N
    level_db = generator.uniform(*config.noise_snr_db)
    noise_N = torch.from_numpy(generator.standard_normal(len(waveform_N), dtype=np.float32))
    return waveform_N + noise_N * waveform_N.square().mean().sqrt() * 10 ** (-level_db / 20)


def with_masks(mel_MF: torch.Tensor, config: AugmentConfig, generator: np.random.Generator) -> torch.Tensor:
    """Mask log-mel frames [M, F] in time and frequency."""
    mel_MF, mean = mel_MF.clone(), mel_MF.mean()
    bins, frames = mel_MF.shape
    most = min(int(config.time_mask_seconds * SAMPLE_RATE / HOP), int(MASKED_SHARE * frames))
    for _ in range(config.time_masks):
        start, end = _stretch(most, frames, generator)
        mel_MF[:, start:end] = mean
    for _ in range(config.frequency_masks):
        start, end = _stretch(min(config.frequency_mask_bins, bins), bins, generator)
        mel_MF[start:end] = mean
    return mel_MF


class AugmentedFeatures:
    """Computes masked log-mel frames of a batch, in place of `torch_features`; one generator per clip."""

    def __init__(self, config: AugmentConfig, generators: Sequence[np.random.Generator]) -> None:
        self._config, self._generators = config, generators

    def __call__(
        self, waveforms_N: Sequence[torch.Tensor], *, num_mel_bins: int, multiple: int, blocks: Blocks | None
    ) -> list[torch.Tensor]:
        """Compute the log-mel frames [M, F] of each clip, masked by its generator."""
        mels = torch_features(waveforms_N, num_mel_bins=num_mel_bins, multiple=multiple, blocks=blocks)
        return [with_masks(mel, self._config, each) for mel, each in zip(mels, self._generators, strict=True)]


def _stretch(most: int, size: int, generator: np.random.Generator) -> tuple[int, int]:
    length = int(generator.integers(0, most, endpoint=True))
    start = int(generator.integers(0, size - length, endpoint=True))
    return start, start + length
