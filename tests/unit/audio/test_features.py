"""Log-mel frames are Whisper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from megatron_speech.audio.features import log_mel


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_frames_match_transformers(num_mel_bins: int) -> None:
    waveform = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=num_mel_bins)
    expected = extractor(waveform, sampling_rate=16000, padding=False, return_tensors="pt").input_features[0]
    torch.testing.assert_close(log_mel(torch.from_numpy(waveform), num_mel_bins=num_mel_bins), expected)


@pytest.mark.parametrize(("samples", "frames"), [(1, 8), (1280, 8), (1281, 16), (16000, 104)])
def test_frames_fill_whole_tokens(samples: int, frames: int) -> None:
    assert log_mel(torch.ones(samples), num_mel_bins=80, multiple=1280).shape == (80, frames)


def test_one_sample_is_one_frame() -> None:
    assert log_mel(torch.ones(1), num_mel_bins=80).shape == (80, 1)
