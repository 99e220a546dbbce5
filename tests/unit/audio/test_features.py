"""Log-mel frames are Whisper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from megatron_speech.audio import features
from megatron_speech.audio.features import FLOOR_DECADES, Blocks, log_mel


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_frames_match_transformers(num_mel_bins: int) -> None:
    waveform = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=num_mel_bins)
    expected = extractor(waveform, sampling_rate=16000, padding=False, return_tensors="pt").input_features[0]
    torch.testing.assert_close(log_mel(torch.from_numpy(waveform), num_mel_bins=num_mel_bins), expected)


@pytest.mark.parametrize(("samples", "frames"), [(1, 8), (1280, 8), (1281, 16), (16000, 104)])
def test_frames_fill_whole_tokens(samples: int, frames: int) -> None:
    assert log_mel(torch.ones(samples), num_mel_bins=80, multiple=1280).shape == (80, frames)


@given(samples=st.integers(1, 40_000), frames=st.sampled_from([8, 40, 200]), lead=st.sampled_from([0, 1]))
@settings(max_examples=20, deadline=None)
def test_blocks_hold_the_clips_frames_over_their_own_floor(samples: int, frames: int, lead: int) -> None:
    """Without a floor, frames do not depend on the blocks; with it, on nothing behind their block."""
    rng = np.random.default_rng(samples)
    clip = torch.from_numpy((10 ** rng.uniform(-6, 0) * rng.standard_normal(samples)).astype(np.float32))
    clip[: samples // 3] *= 1e-6
    blocks = Blocks(frames=frames, lead=lead)
    found = log_mel(clip, num_mel_bins=80, multiple=1280, blocks=blocks)
    whole = log_mel(clip, num_mel_bins=80, multiple=1280)
    assert found.shape == whole.shape and sum(blocks.sizes(whole.shape[1])) == whole.shape[1]
    assert torch.all(found <= whole + 2e-3)
    start = 0
    for size in blocks.sizes(whole.shape[1]):
        heard = found[:, : start + size]
        assert found[:, start : start + size].min() >= heard.max() - FLOOR_DECADES / 4 - 1e-6
        above = whole[:, start : start + size] > whole.min() + 1e-3
        close = (found - whole)[:, start : start + size].abs() < 2e-3
        assert torch.all(close | ~above)
        start += size


def test_one_sample_is_one_frame() -> None:
    assert log_mel(torch.ones(1), num_mel_bins=80).shape == (80, 1)


def test_window_and_filters_are_made_once_per_device(monkeypatch: pytest.MonkeyPatch) -> None:
    log_mel(torch.ones(3200), num_mel_bins=80, blocks=Blocks(frames=4, lead=0))
    monkeypatch.setattr(features, "mel_filter_bank", None)
    monkeypatch.setattr(torch, "hann_window", None)
    log_mel(torch.ones(3200), num_mel_bins=80, blocks=Blocks(frames=4, lead=0))
