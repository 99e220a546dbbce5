"""Noise at the level asked for, masks no larger than asked for, and both the same whoever computes the clip."""

from __future__ import annotations

import pytest
import torch

from megatron_speech.config.stages.train_speech_tokenizer import AugmentConfig
from megatron_speech.speech_tokenizer.training.augment import AugmentedFeatures, generator_of, with_masks, with_noise
from tests.unit.speech_tokenizer.toys import noise

MASKS = AugmentConfig(time_masks=2, time_mask_seconds=0.3, frequency_masks=2, frequency_mask_bins=10)


def test_noise_has_its_level() -> None:
    clean = torch.from_numpy(noise(16000, 1))
    config = AugmentConfig(noise_probability=1.0, noise_snr_db=(10.0, 10.0))
    added = with_noise(clean, config, generator_of(0, 1, 2)) - clean
    level = 10 * torch.log10(clean.square().mean() / added.square().mean())
    assert float(level) == pytest.approx(10.0, abs=0.2)


def test_noise_comes_as_often_as_asked_for() -> None:
    clean, config = torch.ones(10), AugmentConfig(noise_probability=0.25)
    noisy = sum(not torch.equal(with_noise(clean, config, generator_of(0, 0, clip)), clean) for clip in range(400))
    assert 60 < noisy < 140


def test_masks_take_the_mean_and_stay_small() -> None:
    mel = torch.randn(80, 200)
    for clip in range(20):
        masked = with_masks(mel, MASKS, generator_of(0, 0, clip))
        changed = masked != mel
        assert (masked[changed] == mel.mean()).all()
        assert int(changed.all(dim=0).sum()) <= 2 * 30 and int(changed.all(dim=1).sum()) <= 2 * 10
    assert torch.equal(with_masks(mel, AugmentConfig(), generator_of(0, 0, 0)), mel)


def test_a_clip_of_one_frame_is_no_error() -> None:
    assert with_masks(torch.ones(80, 1), MASKS, generator_of(0, 0, 0)).shape == (80, 1)


def test_a_clip_is_masked_as_if_alone() -> None:
    waves = [torch.from_numpy(noise(size, size)) for size in (8000, 12000, 16000)]

    def heard(step: int, places: list[int]) -> list[torch.Tensor]:
        features = AugmentedFeatures(MASKS, [generator_of(3, step, place) for place in places])
        return features([waves[place] for place in places], num_mel_bins=80, multiple=1280, blocks=None)

    whole = heard(7, [0, 1, 2])
    assert torch.equal(whole[2], heard(7, [2])[0])
    assert not torch.equal(whole[2], heard(8, [2])[0])
