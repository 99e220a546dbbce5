"""Computes the log-mel spectrogram that HiFi-GAN was trained on (arXiv 2010.05646, section 3).

A vocoder works with the spectrogram of its training only, so these details must not change. Reflect padding of
(n_fft - hop) / 2 without centring gives exactly n frames for n x hop samples. Slaney filters, normalised by area, are
applied to magnitudes, not powers. The logarithm is natural, with a floor of 1e-5 below it. Frame j is centred at
(j + 1/2) x hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank


@dataclass(frozen=True, kw_only=True)
class MelSettings:
    """Constants of a vocoder's mel spectrogram; the defaults are HiFi-GAN V1's."""

    sample_rate: int = 22050
    """Samples per second."""
    num_mels: int = 80
    """Mel bands."""
    n_fft: int = 1024
    """Samples per window."""
    hop: int = 256
    """Samples from one frame to the next."""
    fmax: float = 8000.0
    """Upper edge of the highest band, in Hz."""
    floor: float = 1e-5
    """Lower bound of the mel magnitudes, applied before the logarithm."""

    @property
    def frame_rate(self) -> float:
        """Frames per second (86.13 for HiFi-GAN V1)."""
        return self.sample_rate / self.hop


def log_mel(waveform: Tensor, settings: MelSettings) -> Tensor:
    """Log-mel spectrogram of mono speech at `settings.sample_rate`: [N] -> [T, M] with T = N // hop.

    Raises ValueError if `waveform` is not [N] or is too short for the reflect padding.
    """
    pad = (settings.n_fft - settings.hop) // 2
    if waveform.ndim != 1 or waveform.shape[0] <= pad:
        raise ValueError(f"waveform of shape {tuple(waveform.shape)} must be [N] with N > {pad}; drop clips this short")
    padded = torch.nn.functional.pad(waveform[None], (pad, pad), mode="reflect")[0]
    window = torch.hann_window(settings.n_fft, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(padded, settings.n_fft, settings.hop, window=window, center=False, return_complex=True)
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)  # [F, T]; HiFi-GAN adds 1e-9, too
    filters = torch.from_numpy(mel_filters(settings)).to(waveform)
    return torch.log((filters @ magnitude).clamp(min=settings.floor)).T.contiguous()


@lru_cache(maxsize=4)
def mel_filters(settings: MelSettings) -> np.ndarray:
    """Slaney filter bank [M, F], each band normalised to unit area."""
    bank = mel_filter_bank(
        num_frequency_bins=settings.n_fft // 2 + 1,
        num_mel_filters=settings.num_mels,
        min_frequency=0.0,
        max_frequency=settings.fmax,
        sampling_rate=settings.sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return np.ascontiguousarray(bank.T, dtype=np.float32)
