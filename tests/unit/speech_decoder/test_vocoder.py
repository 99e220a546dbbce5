"""The vocoder: one hop per frame, the published shape, and its folder gives it back."""

import json

import pytest
import torch
from safetensors.torch import save_file

from megatron_speech.speech_decoder.mel import MelSettings
from megatron_speech.speech_decoder.vocoder import HifiGan

CONFIG = {
    "resblock": "1",
    "sampling_rate": 22050,
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "fmax": 8000,
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
}


@pytest.fixture
def vocoder() -> HifiGan:
    torch.manual_seed(0)
    return HifiGan(mel=MelSettings(), upsample_initial_channel=32).eval()


def write(folder, vocoder, **changes):
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    save_file(vocoder.state_dict(), folder / "model.safetensors")


def test_every_mel_frame_becomes_one_hop(vocoder):
    waveform = vocoder.vocode(torch.randn(11, 80))
    assert waveform.shape == (11 * 256,)
    assert waveform.abs().max() <= 1


def test_the_published_shape_has_its_published_size():
    assert sum(parameter.numel() for parameter in HifiGan(mel=MelSettings()).parameters()) == 13_926_017


def test_a_folder_gives_back_the_same_vocoder(vocoder, tmp_path):
    write(tmp_path, vocoder)
    mel = torch.randn(5, 80)
    loaded = HifiGan.load(tmp_path)
    assert loaded.mel == MelSettings()
    torch.testing.assert_close(loaded.vocode(mel), vocoder.vocode(mel), rtol=0, atol=0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        HifiGan.load(tmp_path)


def test_another_kind_of_residual_block_is_refused(vocoder, tmp_path):
    write(tmp_path, vocoder, resblock="2")
    with pytest.raises(ValueError, match="resblock='2'"):
        HifiGan.load(tmp_path)
