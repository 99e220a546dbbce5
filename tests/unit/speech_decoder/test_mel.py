"""Mel frames of the decoder: as many as hops, at the floor in silence, in the right band for a tone."""

import math

import numpy as np
import pytest
import torch

from megatron_speech.speech_decoder.mel import MelSettings, log_mel, mel_filters

MEL = MelSettings()


def test_whole_hops_give_one_frame_each():
    assert log_mel(torch.zeros(256 * 40), MEL).shape == (40, 80)
    assert log_mel(torch.zeros(256 * 40 + 255), MEL).shape == (40, 80)


def test_silence_is_the_floor():
    floor = math.log(MEL.floor)
    mel = log_mel(torch.zeros(4096), MEL)
    # The magnitude's offset of 1e-9 lies above the floor only where a band sums over it.
    assert mel.min() >= floor - 1e-6
    assert mel.max() < math.log(1e-4)


def test_a_tone_peaks_in_the_band_that_holds_it():
    time_s = torch.arange(22050) / 22050
    mel = log_mel(torch.sin(2 * torch.pi * 1000.0 * time_s), MEL)
    centre_hz = np.argmax(mel_filters(MEL), axis=1) * 22050 / 1024
    assert abs(centre_hz[mel[20:-20].mean(dim=0).argmax()] - 1000.0) < 60


def test_every_filter_has_unit_area():
    """Slaney's normalisation: magnitudes of white noise are equal over bands."""
    area = mel_filters(MEL).sum(axis=1) * 22050 / 1024
    np.testing.assert_allclose(area[20:], 1.0, atol=0.06)


def test_a_clip_too_short_to_reflect_is_refused():
    with pytest.raises(ValueError, match=r"N > 384"):
        log_mel(torch.zeros(384), MEL)
