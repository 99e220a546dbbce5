"""Audio files: what comes back is what was meant, what is not audio is refused by name."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.io import decode_audio, encode_flac, read_audio, resample, write_audio


def tone(seconds: float = 0.5, rate: int = 16000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_flac_keeps_sixteen_bits() -> None:
    waveform, rate = decode_audio(encode_flac(tone()), name="tone")
    assert rate == 16000 and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, tone(), atol=1 / 32767)


def test_encoding_is_reproducible_and_clips() -> None:
    assert encode_flac(tone()) == encode_flac(tone())
    loud, _ = decode_audio(encode_flac(3 * tone()), name="loud")
    assert loud.max() <= 1.0 and loud.min() >= -1.0


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_resampling_keeps_the_tone(rate: int) -> None:
    waveform = resample(tone(1.0, rate), rate, 16000)
    assert abs(len(waveform) - 16000) <= 1
    inner = slice(1000, 15000)
    np.testing.assert_allclose(waveform[inner], tone(1.0)[inner], atol=2e-3)


def test_resampling_removes_what_cannot_be_kept() -> None:
    waveform = resample(tone(1.0, 48000, 12000.0), 48000, 16000)
    assert np.abs(waveform[1000:15000]).max() < 1e-4


@pytest.mark.parametrize(("rate", "hertz"), [(24000, 9500.0), (44100, 12000.0), (48000, 20000.0), (48000, 10000.0)])
def test_nothing_above_the_new_nyquist_frequency_folds_back(tmp_path: Path, rate: int, hertz: float) -> None:
    """Where a resampler without a filter brings the tone back at full strength, it lies 80 dB lower here."""
    soundfile.write(tmp_path / "tone.wav", tone(1.0, rate, hertz), rate, subtype="FLOAT")
    left = read_audio(tmp_path / "tone.wav")[1000:15000]
    assert 20 * np.log10(np.sqrt(np.mean(left**2)) / (0.5 / np.sqrt(2))) < -80


def test_first_of_two_channels_and_a_word_about_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([tone(), -tone()], axis=1), 16000)
    np.testing.assert_allclose(read_audio(tmp_path / "two.wav"), tone(), atol=1e-4)
    read_audio(tmp_path / "two.wav")
    assert caplog.text.count("2 channels, only the first") == 1


def test_files_that_are_no_audio_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF and then nothing")
    with pytest.raises(ValueError, match=r"broken\.wav: not readable as audio .*; convert it"):
        read_audio(tmp_path / "broken.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16000)
    with pytest.raises(ValueError, match=r"empty\.wav: no samples; leave it out"):
        read_audio(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan], np.float32), 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"nan\.wav: 1 of 2 samples are not finite; leave it out or make it again"):
        read_audio(tmp_path / "nan.wav")
    with pytest.raises(FileNotFoundError, match=r"absent\.wav: no such audio file; correct the path"):
        read_audio(tmp_path / "absent.wav")


def test_written_files_are_read_back(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac"):
        write_audio(tmp_path / name, tone())
        np.testing.assert_allclose(read_audio(tmp_path / name), tone(), atol=1 / 32767)
    with pytest.raises(ValueError, match=r"a\.mp3: audio is written as .wav or .flac; choose"):
        write_audio(tmp_path / "a.mp3", tone())


@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_a_flac_file_cut_short_is_refused(part: float) -> None:
    data = encode_flac(tone(2.0) + 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32))
    with pytest.raises(AudioError, match="clip: cut short, ") as caught:
        decode_audio(data[: int(part * len(data))], name="clip")
    assert caught.value.reason == "cut short"
    again = pickle.loads(pickle.dumps(caught.value))  # as it comes back from another process
    assert (str(again), again.reason) == (str(caught.value), caught.value.reason)
