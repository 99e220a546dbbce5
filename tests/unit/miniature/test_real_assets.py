"""The packages themselves: Whisper's encoder against another implementation, and a voice that Whisper understands."""

from pathlib import Path

import numpy as np
import pytest

from megatron_speech.config.stages.miniature import FLITE_VOICES
from megatron_speech.miniature.recordings import read_recordings
from megatron_speech.miniature.voices import has_voice, open_voice

pytestmark = [pytest.mark.assets, pytest.mark.slow]

HARVARD = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
)

# Encoder states that ctranslate2 4.8.5 (float32) computes from the same mel: at (frame, channel), and the whole norm.
REFERENCE = {
    "whisper-tiny.en": (((0, 0, -1.65609), (50, 10, -1.68013), (120, 200, 1.91206), (250, 383, -0.38145)), 806.26557),
    "whisper-base": (((0, 0, -0.90813), (50, 10, -0.50555), (120, 200, 1.72992), (250, 383, -1.17727)), 1256.76039),
}


def converted(real_assets: Path, name: str) -> Path:
    if not (real_assets / name / "manifest.json").is_file():
        pytest.skip(f"{real_assets / name} is not there; run megatron-speech unpack_assets --set full")
    return real_assets / name


@pytest.mark.parametrize("name", list(REFERENCE))
def test_encoder_agrees_with_ctranslate2(real_assets: Path, name: str) -> None:
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    seconds = np.arange(16000 * 5) / 16000
    chirp = 0.3 * np.sin(2 * np.pi * (200 + 60 * seconds) * seconds) * np.sin(2 * np.pi * 1.5 * seconds)
    extractor = WhisperFeatureExtractor(feature_size=80)
    mel = extractor(chirp.astype(np.float32), sampling_rate=16000, return_tensors="pt").input_features
    model = WhisperForConditionalGeneration.from_pretrained(converted(real_assets, name)).eval()
    with torch.no_grad():
        states = model.model.encoder(mel).last_hidden_state[0]
    values, norm = REFERENCE[name]
    for frame, channel, value in values:
        assert states[frame, channel].item() == pytest.approx(value, abs=2e-4)
    assert states.double().norm().item() == pytest.approx(norm, rel=1e-5)


def test_whisper_understands_the_voice(real_assets: Path) -> None:
    from megatron_speech.metrics.word_errors import error_rates
    from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer

    voice = open_voice("hibari", real_assets)
    waveforms = [voice.speak(text, speed=1.0, seed=number) for number, text in enumerate(HARVARD)]
    heard = WhisperRecognizer.load(converted(real_assets, "whisper-tiny.en")).transcribe(waveforms)
    wer = error_rates(list(HARVARD), heard)["wer"]
    print(f"word error rate {wer:.3f}")
    assert wer <= 0.15, heard


@pytest.mark.parametrize("name", ["hibari", *FLITE_VOICES])
def test_a_voice_repeats_itself_and_obeys_speed(real_assets: Path, name: str) -> None:
    if not has_voice(name, real_assets):
        pytest.skip(f"voice {name} was not fetched")
    voice = open_voice(name, real_assets)
    slow, fast = (voice.speak(HARVARD[0], speed=speed, seed=3) for speed in (0.9, 1.15))
    assert slow.dtype == np.float32 and len(slow) > 1.05 * len(fast)
    assert np.array_equal(slow, voice.speak(HARVARD[0], speed=0.9, seed=3))
    assert 0.05 < np.abs(slow).max() <= 1.0


def test_human_recordings_have_words(real_assets: Path) -> None:
    records = list(read_recordings(real_assets, min_seconds=1.0, max_seconds=30.0))
    if not records:
        pytest.skip("no Debian package of recordings was fetched")
    assert len({record.key for record in records}) == len(records) >= 10
    # People speak 5 to 25 characters per second.
    rates = [len(record.text) / (len(record.waveform) / 16000) for record in records]
    assert 5 < np.median(rates) < 25
