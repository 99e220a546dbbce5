"""Disturbances do what their names say, and what they change is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.reports.tokenizer_report import RobustnessConfig
from megatron_speech.evaluation.speech.robustness import babble, disturbances, gain, mix, robustness, through_rate
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.word_errors import sequence_edits
from megatron_speech.speech_tokenizer.model import TextSide
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.unit.speech_tokenizer.toys import VOCAB, WORDS, narrowed_config, noise, spoken, toy_model, write_text_side


def records(count: int = 4) -> list[AudioRecord]:
    return [AudioRecord(key=word, waveform=spoken(word, 1), text=word) for word in WORDS[:count]]


def tone(hertz: float, num_samples: int = 16000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / 16000)).astype(np.float32)


def decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(signal, dtype=float)) / np.mean(np.square(noise, dtype=float)))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> WhisperVQTokenizer:
    folder: Path = tmp_path_factory.mktemp("text")
    write_text_side(folder)
    return WhisperVQTokenizer(toy_model(narrowed_config()), TextSide(folder, VOCAB), "toy")


@given(snr_db=st.floats(-10, 40), loudness=st.floats(1e-3, 1.0), seed=st.integers(0, 100))
def test_noise_lies_as_far_below_the_speech_as_asked(snr_db: float, loudness: float, seed: int) -> None:
    clip = tone(440) * np.float32(loudness)
    mixed = mix(clip, noise(len(clip), seed), snr_db=snr_db, name="clip")
    assert decibels(clip, mixed.astype(float) - clip) == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize("kind", ["white noise", "babble"])
def test_noise_of_a_data_set_has_its_level_and_its_seed(kind: str) -> None:
    clips = records()
    config = RobustnessConfig(snrs_db=[10.0])
    first, second = (
        next(each for each in disturbances(clips, settings) if each.kind == kind)
        for settings in (config, RobustnessConfig(snrs_db=[10.0], seed=1))
    )
    for index, record in enumerate(clips):
        disturbed = first.apply(index)
        assert decibels(record.waveform, disturbed.astype(float) - record.waveform) == pytest.approx(10, abs=0.01)
        assert np.array_equal(disturbed, first.apply(index))
        assert not np.array_equal(disturbed, second.apply(index))


def test_babble_is_others_and_never_the_clip_itself() -> None:
    clips = [AudioRecord(key=str(n), waveform=tone(500 * (n + 1)), text="a") for n in range(4)]
    for index in range(4):
        spectrum = np.abs(np.fft.rfft(babble(clips, index, clips=3, seed=0)))
        peaks = {n for n in range(4) if spectrum[500 * (n + 1)] > 1000}
        assert peaks == set(range(4)) - {index}


def test_a_gain_clips_at_full_scale_and_none_is_no_change() -> None:
    clip = tone(440)
    assert gain(clip, 0.0) is clip
    assert np.allclose(gain(clip, -20.0), clip / 10)
    louder = gain(clip, 12.0)
    assert np.abs(louder).max() == 1.0 and (np.abs(louder) == 1.0).mean() > 0.3


@given(length=st.integers(1, 3000), rate=st.sampled_from([8000, 11025, 44100, 48000]))
def test_a_clip_comes_back_from_another_rate_at_its_length(length: int, rate: int) -> None:
    back = through_rate(noise(length, 0), rate)
    assert back.shape == (length,) and back.dtype == np.float32


def test_a_low_rate_takes_what_lies_above_it_and_leaves_the_rest() -> None:
    low, high = tone(1000), tone(6000)
    for rate in (8000, 48000):
        assert decibels(low, through_rate(low, rate) - low) > 30
    assert decibels(high, through_rate(high, 48000) - high) > 30
    assert decibels(high, through_rate(high, 8000)) > 40


def test_changes_are_counted_against_the_untouched_clips(tokenizer: WhisperVQTokenizer) -> None:
    config = RobustnessConfig(gains_db=[0.0, -20.0], snrs_db=[0.0], rates=[8000], max_utterances=3)
    rows = robustness(tokenizer, tokenizer, records(), config, Bootstrap(resamples=100))
    names = ["untouched", "gain +0 dB", "gain -20 dB", "white noise, 0 dB", "babble, 0 dB", "through 8 kHz"]
    assert [row.name for row in rows] == names
    untouched, identity, *_, loud, _, _ = rows
    for key in ("codes_changed", "code_edits", "codes_changed_low", "codes_changed_high"):
        assert getattr(untouched, key) == getattr(identity, key) == 0
    assert identity.wer == untouched.wer and identity.wer_change_low == identity.wer_change_high == 0
    assert loud.wer_change == pytest.approx(loud.wer - untouched.wer, abs=2e-6)
    assert identity.utterances == 3
    assert 0 < loud.code_edits <= loud.codes_changed <= 1
    assert loud.codes_changed_low <= loud.codes_changed <= loud.codes_changed_high


def test_the_untouched_clips_are_read_once(tokenizer: WhisperVQTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    read, recognize = [], tokenizer.recognize
    monkeypatch.setattr(tokenizer, "recognize", lambda codes: (read.append(1), recognize(codes))[1])
    robustness(
        tokenizer,
        tokenizer,
        records(2),
        RobustnessConfig(gains_db=[0.0], snrs_db=[], rates=[]),
        Bootstrap(resamples=100),
    )
    assert len(read) == 2


def test_edits_between_codes_are_the_fewest() -> None:
    rows = [np.array([1, 2, 3, 4]), np.array([12, 3])]
    assert sequence_edits(rows, [np.array([2, 3, 4, 5]), np.array([1, 23])]).tolist() == [2, 2]


def test_a_lone_clip_and_a_silent_one_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="only alpha; add utterances, raise"):
        disturbances(records(1), RobustnessConfig())
    assert len(disturbances(records(1), RobustnessConfig(snrs_db=[]))) == 5
    hush = AudioRecord(key="hush", waveform=np.zeros(100, np.float32), text="a")
    with pytest.raises(ValueError, match=r"utterance hush is silent: .*; leave it out, or set"):
        disturbances([*records(1), hush], RobustnessConfig())
    with pytest.raises(ValueError, match="clip: the clip or its babble is silent; leave it out, or raise"):
        mix(tone(440), np.zeros(16000, np.float32), snr_db=10, name="clip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"babble_clips": 0}, "robustness.babble_clips=0 must be at least 1; use"),
        ({"gains_db": [], "snrs_db": [], "rates": []}, "are all empty; use robustness=null"),
        ({"rates": [8000, 8]}, "must be at least 1000 Hz each; 8000 is"),
    ],
)
def test_impossible_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RobustnessConfig(**changes)
