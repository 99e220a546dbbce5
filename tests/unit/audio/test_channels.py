"""Which channel is heard: one rule for a dead microphone, two voices, two phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from megatron_speech.audio.channels import Choice, hear, speaking
from megatron_speech.audio.checks import AudioError, is_silent
from megatron_speech.audio.quarantine import silence
from megatron_speech.audio.shards import AudioRecord, AudioShard
from tests.unit.audio.toys import speech

VOICE, OTHER = speech(4000, 2).T
SILENT = np.full(4000, 0.25, np.float32)  # an offset is no sound


@pytest.mark.parametrize(
    ("choice", "channels", "heard"),
    [
        ("first", [VOICE, OTHER], 0),
        ("first", [SILENT, OTHER], 1),
        ("first", [SILENT, 0.5 * OTHER, VOICE], 1),
        ("first", [SILENT, SILENT], 0),
        ("loudest", [0.5 * VOICE, OTHER], 1),
        ("loudest", [VOICE, 0.1 * OTHER + 0.8], 0),
        ("mix", [VOICE], 0),
    ],
)
def test_the_channel_that_is_heard(choice: Choice, channels: list[np.ndarray], heard: int) -> None:
    found = hear(np.stack(channels, axis=1), choice)
    assert found.channel == heard
    np.testing.assert_array_equal(found.waveform, channels[heard])


@pytest.mark.parametrize(
    "channels", [[VOICE, OTHER], [VOICE, VOICE], [VOICE, SILENT], [VOICE, -0.1 * VOICE], [OTHER] * 8]
)
def test_a_mean_of_what_does_not_cancel(channels: list[np.ndarray]) -> None:
    found = hear(np.stack(channels, axis=1), "mix")
    assert found.channel is None
    np.testing.assert_allclose(found.waveform, np.mean(channels, axis=0), atol=1e-6)


@pytest.mark.parametrize("scale", [-1.0, -0.9, -1.1])
def test_phases_that_cancel_are_refused(scale: float) -> None:
    with pytest.raises(AudioError, match="2 channels cancel each other") as caught:
        hear(np.stack([VOICE, scale * VOICE + 0.01 * OTHER + 0.1], axis=1), "mix")
    assert caught.value.reason == "phase"


def test_unrelated_channels_are_no_cancellation_however_many() -> None:
    hear(speech(4000, 64), "mix")


def test_silence_is_judged_without_the_offset() -> None:
    assert speaking(np.stack([SILENT, VOICE, 0 * VOICE, OTHER - 0.3], axis=1)) == [1, 3]
    assert is_silent(SILENT + 1e-4 * VOICE, -60.0) and not is_silent(SILENT + 1e-2 * VOICE, -60.0)


def test_an_utterance_that_is_only_an_offset_is_silent_in_every_stage() -> None:
    shard = AudioShard(path=Path("a.tar"), utterances=1, seconds=0.25, bytes=0, xxh3="")
    for waveform, reason in ((SILENT, "silent"), (SILENT + VOICE, None)):
        bad = silence(shard, AudioRecord(key="x", waveform=waveform, text="x"), -60.0)
        assert (bad and bad.reason) == reason
    assert silence(shard, AudioRecord(key="x", waveform=SILENT, text="x"), None) is None
