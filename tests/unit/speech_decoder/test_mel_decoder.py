"""Codes to sound through both networks, by the folder's own word for its decoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_decoder.token_to_mel import TokenToMel
from megatron_speech.speech_decoder.vocoder import HifiGan
from tests.unit.speech_decoder.toys import VOCODER, write_toy_decoder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A random network and a random vocoder, as their makers leave them."""
    return write_toy_decoder(tmp_path, codebook_size=32, fingerprint="abc")


def test_the_waveform_is_the_vocoder_s_of_the_network_s_frames(folders: tuple[Path, Path]) -> None:
    decoder = load_speech_decoder(*folders)
    codes = np.array([3, 31, 0, 7, 7], np.int32)
    net, vocoder = TokenToMel.load(folders[0]), HifiGan.load(folders[1])
    expected = vocoder.vocode(net.decode(torch.from_numpy(codes))).numpy()
    made = decoder.decode(codes)
    assert made.dtype == np.float32 and np.array_equal(made, expected) and made.std() > 0
    facts = decoder.facts
    assert (facts.sample_rate, facts.frame_rate, facts.codebook_size) == (22050, 12.5, 32)
    assert facts.speech_fingerprint == "abc"
    with pytest.raises(ValueError, match=r"codes 0 \.\. 32 must lie in 0 \.\. 31"):
        decoder.decode(np.array([0, 32], np.int32))


def test_networks_of_two_spectrograms_are_refused(folders: tuple[Path, Path]) -> None:
    (folders[1] / "config.json").write_text(json.dumps({**VOCODER, "fmax": 7000}))
    with pytest.raises(ValueError, match=r"trained for MelSettings.*fmax=8000.*wants MelSettings.*fmax=7000"):
        load_speech_decoder(*folders)


def test_an_unknown_decoder_is_refused_by_name(folders: tuple[Path, Path]) -> None:
    path = folders[0] / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "decoder": "flow"}))
    with pytest.raises(
        ValueError, match=r"config\.json: decoder=flow must be one of token_to_mel, causal; restore the file"
    ):
        load_speech_decoder(*folders)


def test_a_folder_without_a_decoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"holds no config\.json; run megatron-speech train_speech_decoder first"
    ):
        load_speech_decoder(tmp_path, tmp_path)
