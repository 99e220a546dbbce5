"""A speech decoder small enough for tests: a random network and a random vocoder, as their makers leave them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from megatron_speech.config.stages.speech_decoder import TokenToMelConfig
from megatron_speech.speech_decoder.folder import DecoderIdentity
from megatron_speech.speech_decoder.mel import MelSettings
from megatron_speech.speech_decoder.token_to_mel import TokenToMel
from megatron_speech.speech_decoder.vocoder import HifiGan

SMALL = TokenToMelConfig(token_channels=16, token_layers=1, frame_channels=8, frame_layers=1)
VOCODER = {
    "resblock": "1",
    "sampling_rate": 22050,
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "fmax": 8000,
    "upsample_initial_channel": 32,
}


def write_toy_decoder(folder: Path, *, codebook_size: int, fingerprint: str) -> tuple[Path, Path]:
    """Folders of the decoder and of its vocoder below `folder`."""
    torch.manual_seed(0)
    net, vocoder = folder / "decoder", folder / "vocoder"
    net.mkdir()
    vocoder.mkdir()
    identity = DecoderIdentity(codebook_size=codebook_size, frame_rate=12.5, speech_fingerprint=fingerprint)
    TokenToMel(SMALL, identity, MelSettings()).save(net)
    (vocoder / "config.json").write_text(json.dumps(VOCODER))
    generator = HifiGan(mel=MelSettings(), upsample_initial_channel=32)
    save_file(generator.state_dict(), vocoder / "model.safetensors")
    return net, vocoder
