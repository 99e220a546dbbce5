"""DALI's frames are the reference's, clip by clip, or it is not used at all."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from megatron_speech.audio.dali_features import DaliFeatures
from megatron_speech.audio.features import Blocks, torch_features


def clips() -> list[torch.Tensor]:
    """What goes wrong in different ways: noise, a sweep, a harmonic voice, near silence, half silence, one sample."""
    rng, seconds = np.random.default_rng(0), [0.5, 1.3, 5.0, 30.0]
    made = []
    for length in seconds:
        time_s = np.arange(int(length * 16000)) / 16000
        noise = rng.standard_normal(len(time_s))
        made += [
            0.1 * noise,
            0.5 * np.sin(2 * np.pi * (200 + 3000 * time_s / length) * time_s),
            sum(0.3 / n * np.sin(2 * np.pi * 140 * n * time_s) for n in range(1, 9)),
            1e-5 * noise,
            np.where(time_s < length / 2, 0.2 * noise, 0.0),
        ]
    return [torch.from_numpy(clip.astype(np.float32)) for clip in [*made, np.ones(1), np.zeros(1281)]]


@pytest.mark.parametrize("num_mel_bins", [80, 128])
@pytest.mark.parametrize("device", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def test_frames_match_the_reference(num_mel_bins: int, device: str) -> None:
    pytest.importorskip("nvidia.dali", reason="needs the extra [dali]")
    if device == "gpu" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    features = DaliFeatures(device=device, max_clips=9)
    for multiple in (160, 1280):
        blocks = Blocks(frames=200, lead=1) if multiple == 1280 else None
        found = features(clips(), num_mel_bins=num_mel_bins, multiple=multiple, blocks=blocks)
        expected = torch_features(clips(), num_mel_bins=num_mel_bins, multiple=multiple, blocks=blocks)
        assert [mel.shape for mel in found] == [mel.shape for mel in expected]
        difference = torch.cat([(a.cpu() - b).abs().flatten() for a, b in zip(found, expected, strict=True)])
        print(
            json.dumps(
                {"bins": num_mel_bins, "max": float(difference.max()), "mean": float(difference.double().mean())}
            )
        )
        assert difference.max() <= 2e-4
        assert difference.double().mean() <= 1e-6


def test_neighbours_change_nothing() -> None:
    pytest.importorskip("nvidia.dali", reason="needs the extra [dali]")
    features = DaliFeatures()
    together = features(clips()[:6], num_mel_bins=80)
    for clip, mel in zip(clips()[:6], together, strict=True):
        assert torch.equal(features([clip], num_mel_bins=80)[0], mel)


@pytest.mark.parametrize("rate", [8000, 24000, 44100])
def test_another_rate_is_refused(rate: int) -> None:
    pytest.importorskip("nvidia.dali", reason="needs the extra [dali]")
    with pytest.raises(ValueError, match=rf"sample_rate={rate} must be 16000; .* does not filter what would alias"):
        DaliFeatures()(clips()[:1], num_mel_bins=80, sample_rate=rate)


def test_its_absence_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(ValueError, match=r"features=dali: .*; pip install 'megatron-speech\[dali\]', or use torch"):
        DaliFeatures()
