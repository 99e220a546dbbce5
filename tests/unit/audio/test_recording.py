"""Parts of recordings: exact to the sample, from one open file, whatever the order."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.recording import Recording
from tests.unit.audio.toys import kinds, speech, unknown_length, written


@pytest.mark.parametrize(("kind", "subtype"), [*kinds(), ("FLAC", "unknown length")])
@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 12_000)).map(sorted), max_size=5))
def test_parts_in_any_order_are_those_of_the_whole(kind: str, subtype: str, cuts: list[list[int]]) -> None:
    data = unknown_length(written(kind, "PCM_16")) if subtype == "unknown length" else written(kind, subtype)
    with Recording(data) as whole, Recording(data) as recording:
        expected = whole.read()
        assert len(expected) == recording.num_frames >= 12_000
        if kind == "AIFF" and subtype.startswith("DWVW"):
            return  # libsndfile reads these only once, from the beginning
        for start, stop in cuts:
            np.testing.assert_allclose(recording.read(start, stop), expected[start:stop], atol=1e-6, rtol=0)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg", "opus"])
def test_parts_of_a_long_file_are_reached_by_seeking(tmp_path: Path, ending: str) -> None:
    rate = 24000 if ending == "opus" else 22050
    path, sound = tmp_path / f"long.{ending}", speech(40 * rate, 2)
    kind = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    with soundfile.SoundFile(path, "w", rate, 2, **kind) as file:
        for start in range(0, len(sound), rate):  # libsndfile overflows its stack when it writes much Vorbis at once
            file.write(sound[start : start + rate])
    with Recording(path) as whole, Recording(path) as recording:
        expected = whole.read()
        for start in np.random.default_rng(0).integers(0, 39 * rate, 20):
            part = recording.read(start, start + 5000)
            np.testing.assert_allclose(part, expected[start : start + 5000], atol=1e-6, rtol=0)


def test_parts_that_follow_each_other_read_each_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, *args: Any, **kwargs: Any) -> np.ndarray:
        nonlocal decoded
        found = read(self, *args, **kwargs)
        decoded += len(found)
        return found

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    with Recording(written("OGG", "VORBIS")) as recording:
        for start in range(0, 12_000, 1000):
            recording.read(start, start + 1000)
    assert decoded == 24_000  # once more, to see the end: that of so short a file is not leapt to


def test_no_part_of_a_flac_file_that_is_cut_short_is_read() -> None:
    with Recording(written("FLAC", "PCM_16")[:-100]) as recording, pytest.raises(AudioError):
        recording.read(0, 100)


def test_a_name_says_nothing_about_what_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "clip.raw").write_bytes(written("WAV", "PCM_16"))
    with Recording(tmp_path / "clip.raw") as recording:
        assert recording.num_frames == 12_000


def test_a_name_of_any_bytes_is_a_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.wav"))
    path.write_bytes(written("WAV", "PCM_16"))
    with Recording(path) as recording:
        assert recording.num_frames == 12_000


def test_what_is_no_file_is_unreadable_and_nothing_stays_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "cut.wav").write_bytes(written("WAV", "PCM_16")[:-9])
    (tmp_path / "noise.wav").write_bytes(b"RIFF noise")
    (tmp_path / "empty.wav").touch()
    before = len(list(Path("/dev/fd").iterdir()))
    for name, reason in {
        "pipe": "unreadable",
        ".": "unreadable",
        "gone.wav": "unreadable",
        "x" * 300: "unreadable",
        "nul\0.wav": "unreadable",
        "empty.wav": "zero length",
        "cut.wav": "cut short",
        "noise.wav": "not audio",
    }.items():
        with pytest.raises(AudioError) as caught:
            Recording(tmp_path / name)
        assert caught.value.reason == reason and str(caught.value).isprintable()
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize(
    "error", [MemoryError, RuntimeError, OverflowError, TypeError, UnicodeError, ZeroDivisionError]
)
def test_whatever_the_decoder_raises_is_named(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error("inside the library")

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with Recording(written("WAV", "PCM_16")) as recording:
        with pytest.raises(AudioError, match=rf"not readable as audio \({error.__name__}: inside the library\)"):
            recording.read()


def test_damage_within_a_flac_file_is_not_a_cut() -> None:
    data = bytearray(written("FLAC", "PCM_16"))
    data[9000:9400] = bytes(400)
    with Recording(bytes(data)) as recording, pytest.raises(AudioError, match="not readable as audio") as caught:
        recording.read()
    assert caught.value.reason == "not audio"


@pytest.mark.parametrize(("kind", "subtype"), [*kinds(), ("FLAC", "unknown length")])
def test_the_whole_is_the_same_whether_it_is_read_first_or_after_a_part(kind: str, subtype: str) -> None:
    data = unknown_length(written(kind, "PCM_16")) if subtype == "unknown length" else written(kind, subtype)
    if kind == "AIFF" and subtype.startswith("DWVW"):
        return  # libsndfile reads these only once, from the beginning
    with Recording(data) as recording:
        first = recording.read()
        recording.read(5000, 6000)
        np.testing.assert_allclose(recording.read(0, recording.num_frames), first, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "subtype", "rate"), [("OGG", "OPUS", 48000), ("OGG", "OPUS", 16000), ("OGG", "VORBIS", 16000)]
)
def test_what_a_codec_puts_before_the_sound_is_left_out(kind: str, subtype: str, rate: int) -> None:
    buffer, sound = io.BytesIO(), np.random.default_rng(0).standard_normal(rate).astype(np.float32) * 0.1
    soundfile.write(buffer, sound, rate, format=kind, subtype=subtype)
    with Recording(buffer.getvalue()) as recording:
        whole = recording.read()[:, 0]
    size = 1 << 18
    likeness = np.fft.irfft(np.conj(np.fft.rfft(sound, size)) * np.fft.rfft(whole, size))
    assert int(np.argmax(likeness)) == 0 and len(whole) == rate
