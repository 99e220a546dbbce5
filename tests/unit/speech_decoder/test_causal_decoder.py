"""Codes to samples as they arrive: the sound of the whole, and the first of it after six tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from megatron_speech.config.stages.causal_decoder import SpeakingConfig
from megatron_speech.speech_decoder.interface import SpeechDecoder
from megatron_speech.speech_decoder.mel import MelSettings
from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_decoder.vocoder import HifiGan
from megatron_speech.speech_decoder.vocoder_stream import VocoderStream
from tests.unit.speech_decoder.causal_toys import CODES, toy_net
from tests.unit.speech_decoder.toys import VOCODER, write_toy_decoder


@pytest.fixture
def vocoder() -> HifiGan:
    """A vocoder whose samples are as loud as speech, and not all near zero."""
    torch.manual_seed(0)
    vocoder = HifiGan(mel=MelSettings(), upsample_initial_channel=32)
    for parameter in vocoder.parameters():
        parameter.data.mul_(2.0)
    return vocoder.eval()


@pytest.fixture
def decoder(tmp_path: Path, vocoder: HifiGan) -> SpeechDecoder:
    folder = tmp_path / "decoder"
    folder.mkdir()
    toy_net().save(folder)
    (tmp_path / "vocoder").mkdir()
    (tmp_path / "vocoder" / "config.json").write_text(json.dumps(VOCODER))
    save_file(vocoder.state_dict(), tmp_path / "vocoder" / "model.safetensors")
    return load_speech_decoder(folder, tmp_path / "vocoder")


def test_the_published_vocoder_reads_thirteen_frames_on_either_side(vocoder: HifiGan) -> None:
    """Its reach is exact: frames beyond it change no sample, and the last one within it does on both sides."""
    assert vocoder.reach == (13, 13)
    mel = torch.randn(60, 80).double()
    whole = vocoder.double().vocode(mel)
    for frame, first, last in ((0, 0, 13), (30, 17, 43), (59, 46, 59)):
        changed = mel.clone()
        changed[frame] += 3.0
        moved = (vocoder.vocode(changed) - whole).abs().view(60, 256).amax(dim=1) > 0
        assert moved.nonzero().flatten().tolist() == list(range(first, last + 1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_overlap_save_gives_the_samples_of_the_whole(vocoder: HifiGan, dtype: torch.dtype, tolerance: float) -> None:
    vocoder = vocoder.to(dtype)
    for frames in (1, 12, 27, 100):
        mel = 2 * torch.randn(frames, 80, dtype=dtype) - 5
        whole = vocoder.vocode(mel)
        assert whole.std() > 0.01
        for size in (1, 6, 7, 20, 50):
            stream = VocoderStream(vocoder)
            pieces = [*(stream.push(piece) for piece in mel.split(size)), stream.finish()]
            torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=tolerance)
            assert stream.held_bytes <= 26 * 80 * 8


@pytest.mark.parametrize("steps", [0, 2])
def test_a_stream_gives_the_sound_of_the_whole(decoder: SpeechDecoder, steps: int) -> None:
    speaking = SpeakingConfig(steps=steps, voice="ada")
    generator = np.random.default_rng(0)
    for length in (1, 5, 30):
        codes = generator.integers(0, CODES, length).astype(np.int32)
        whole = decoder.decode(codes, speaking)
        assert whole.dtype == np.float32 and whole.std() > 0.01
        for size in (1, 2, 3, 7, 10, 25):
            stream = decoder.streaming(speaking)
            pieces = [stream.push(codes[start : start + size]) for start in range(0, length, size)]
            np.testing.assert_allclose(np.concatenate([*pieces, stream.finish()]), whole, rtol=0, atol=1e-5)


def test_six_tokens_give_the_first_80_ms(decoder: SpeechDecoder) -> None:
    stream, heard = decoder.streaming(), []
    for code in range(6):
        heard.append(len(stream.push(np.array([code], np.int32))))
    assert sum(heard[:5]) < 0.08 * 22050 <= sum(heard)


def test_a_finished_stream_takes_nothing_more(decoder: SpeechDecoder) -> None:
    stream = decoder.streaming()
    assert len(stream.finish()) == 0
    for more in (stream.finish, lambda: stream.push(np.zeros(1, np.int32))):
        with pytest.raises(ValueError, match="this stream is finished; make a new one"):
            more()


def test_a_decoder_of_whole_utterances_says_so(tmp_path: Path) -> None:
    decoder = load_speech_decoder(*write_toy_decoder(tmp_path, codebook_size=8, fingerprint="abc"))
    with pytest.raises(ValueError, match="reads whole utterances; train a causal one"):
        decoder.streaming()
    with pytest.raises(ValueError, match="has one voice and no flow; leave these settings out"):
        decoder.decode(np.zeros(3, np.int32), SpeakingConfig(voice="ada"))


def test_networks_of_two_spectrograms_are_refused(decoder: SpeechDecoder, tmp_path: Path) -> None:
    (tmp_path / "vocoder" / "config.json").write_text(json.dumps({**VOCODER, "fmax": 7000}))
    with pytest.raises(ValueError, match=r"trained for MelSettings.*fmax=8000.*wants MelSettings.*fmax=7000"):
        load_speech_decoder(tmp_path / "decoder", tmp_path / "vocoder")
