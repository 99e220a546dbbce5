"""Log-mel frames as Whisper takes them: 16 kHz in, 100 frames per second out; the reference is plain torch.

A clip is computed alone and at its own length: Whisper's floor (8 decades below the loudest bin) belongs to the clip,
so computing a padded batch would let one clip's neighbours change its frames. Price: one small FFT call per clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from transformers.audio_utils import mel_filter_bank

from megatron_speech.audio.io import SAMPLE_RATE

HOP = 160
"""Samples between frames (10 ms)."""
WINDOW = 400
"""Samples under the Hann window (25 ms), also the FFT size."""


class Features(Protocol):
    """What computes the frames of several clips, each as if alone."""

    def __call__(self, waveforms_N: Sequence[torch.Tensor], *, num_mel_bins: int, multiple: int) -> list[torch.Tensor]:
        """Frames [num_mel_bins, F] of each 16 kHz waveform [N]."""


def torch_features(
    waveforms_N: Sequence[torch.Tensor], *, num_mel_bins: int, multiple: int = HOP
) -> list[torch.Tensor]:
    """The reference: `log_mel` of each clip."""
    return [log_mel(waveform, num_mel_bins=num_mel_bins, multiple=multiple) for waveform in waveforms_N]


def log_mel(waveform_N: torch.Tensor, *, num_mel_bins: int, multiple: int = HOP) -> torch.Tensor:
    """Log-mel frames [num_mel_bins, F] of one 16 kHz waveform [N], zeros appended up to a `multiple` of samples.

    F is the padded length over `HOP`. Equal to transformers' WhisperFeatureExtractor on the same padded waveform.
    """
    assert waveform_N.ndim == 1 and waveform_N.numel() > 0, f"{waveform_N.shape=} is not a clip"
    assert multiple % HOP == 0, f"{multiple=} must be a multiple of {HOP=}"
    length = -(-waveform_N.numel() // multiple) * multiple
    # The centred transform reflects half a window at both ends, which needs more samples than that half.
    padded = F.pad(waveform_N.float(), (0, max(length, 2 * HOP) - waveform_N.numel()))
    window = torch.hann_window(WINDOW, device=padded.device)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True)[:, : length // HOP]
    mel = _filters(num_mel_bins).to(padded.device) @ spectrum.abs().square()
    decades = mel.clamp(min=1e-10).log10()
    return (torch.maximum(decades, decades.max() - 8.0) + 4.0) / 4.0


@cache
def _filters(num_mel_bins: int) -> torch.Tensor:
    """Slaney mel filters [num_mel_bins, WINDOW // 2 + 1] from 0 to 8 kHz."""
    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=num_mel_bins,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters.T).float().contiguous()
