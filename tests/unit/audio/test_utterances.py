"""Sources become utterances: exactly the part and the channel that was named, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.audio import utterances as module
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.importing import make_shard
from megatron_speech.audio.recording import Recording
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.audio.sources.listed import ListedUtterance
from megatron_speech.audio.sources.parts import Part
from megatron_speech.audio.utterances import Recordings, nearest_sample, utterances
from megatron_speech.config.stages.import_speech import ImportSpeechConfig
from tests.unit.audio.toys import speech, written


def config(**changes: Any) -> ImportSpeechConfig:
    return ImportSpeechConfig(output=Path("out"), table=Path("t.jsonl"), **changes)


def source(audio: Path | bytes | None, **changes: Any) -> ListedUtterance:
    return ListedUtterance(**{"name": "a", "place": "t.jsonl:1", "text": "words", "audio": audio, **changes})


def records(source: ListedUtterance, **changes: Any) -> list[AudioRecord]:
    return [found.record for found in utterances(source, config(**changes), Recordings())]


def refusal(source: ListedUtterance, **changes: Any) -> tuple[str, str]:
    with pytest.raises(AudioError) as caught:
        records(source, **changes)
    message = str(caught.value)
    assert message.startswith(f"{source.place} (") and message.isprintable()
    return caught.value.reason, message


@pytest.fixture
def clip(tmp_path: Path) -> Iterator[Path]:
    """Two seconds of noise at 16 kHz."""
    soundfile.write(tmp_path / "clip.wav", speech(32_000), 16000, subtype="FLOAT")
    yield tmp_path / "clip.wav"


def test_rows_cut_up_a_recording_without_gap_or_overlap(clip: Path) -> None:
    whole = records(source(clip))[0].waveform
    recordings, found, place = Recordings(), [], 0.0
    for length in (0.1, 0.2, 0.3, 0.7, 0.0201, 0.6799):
        row = source(clip, start_s=place, duration_s=length)
        found += [one.record.waveform for one in utterances(row, config(), recordings)]
        place += length
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert [len(part) for part in found[:4]] == [1600, 3200, 4800, 11200]


def test_a_part_is_exact_at_the_recordings_own_rate(tmp_path: Path) -> None:
    sound = speech(44_100)[:, 0]
    soundfile.write(tmp_path / "clip.wav", sound, 44100, subtype="FLOAT")
    with Recording(tmp_path / "clip.wav") as recording:
        assert module.part_of(source(None, start_s=0.25, duration_s=0.5), recording) == (11025, 33075)
        assert module.part_of(source(None, start_s=0.25), recording) == (11025, 44100)
        np.testing.assert_array_equal(recording.read(11025, 33075)[:, 0], sound[11025:33075])


@given(st.integers(0, 10**7), st.integers(0, 10**4), st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]))
def test_where_a_part_ends_the_next_begins(start_ms: int, length_ms: int, rate: int) -> None:
    """However the sum of two decimals falls in binary."""
    assert nearest_sample(start_ms / 1000 + length_ms / 1000, rate) == nearest_sample(
        (start_ms + length_ms) / 1000, rate
    )


@pytest.mark.parametrize(
    ("start_s", "duration_s"),
    [
        *((-0.1, 1.0), (0.5, 0.0), (0.5, -0.2), (2.0, 1.0), (1.5, 0.6), (1.0, 100.0), (5.0, None), (1e300, 1e300)),
        *((0.5, 1e-6), (float("nan"), 1.0), (0.0, float("inf")), (0.0, float("nan")), (float("-inf"), None)),
    ],
)
def test_a_part_that_is_not_there_is_refused_with_its_numbers(
    clip: Path, start_s: float, duration_s: float | None
) -> None:
    reason, message = refusal(source(clip, start_s=start_s, duration_s=duration_s))
    assert reason == "segment" and f"from {start_s:g} s to " in message


def test_an_end_that_was_rounded_up_is_the_end(clip: Path) -> None:
    (record,) = records(source(clip, start_s=1.0, duration_s=1.009))
    assert len(record.waveform) == 16_000
    assert refusal(source(clip, start_s=1.0, duration_s=1.011))[0] == "segment"


def test_a_stated_length_is_compared_with_the_recordings(clip: Path) -> None:
    for stated in (2.0, 1.95, 2.05, 2):
        assert len(records(source(clip, whole_duration_s=stated, start_s=0.5, duration_s=0.5))[0].waveform) == 8000
    for stated in (1.85, 3.0, -1.0, float("nan"), 1e300):
        reason, message = refusal(source(clip, whole_duration_s=stated))
        assert reason == "duration" and f"lasts 2.000 s and not {stated:g} s" in message


def test_the_silence_that_an_mp3_encoder_adds_is_no_disagreement() -> None:
    """At 16 kHz others count up to 0.15 s more."""
    row = source(written("MP3", "MPEG_LAYER_III"))  # 0.75 s
    assert len(records(replace(row, whole_duration_s=0.99))[0].waveform) == 12_000
    assert len(records(replace(row, start_s=0.25, duration_s=0.65))[0].waveform) == 8_000
    assert refusal(replace(row, whole_duration_s=1.01))[0] == "duration"
    assert refusal(replace(row, start_s=0.25, duration_s=0.67))[0] == "segment"


def test_a_file_is_opened_once_for_its_rows_and_refused_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    class Counted(Recording):
        def __init__(self, source: Path | bytes) -> None:
            opened.append(source)
            super().__init__(source)

    monkeypatch.setattr(module, "Recording", Counted)
    cut = clip.with_name("cut.wav")
    cut.write_bytes(clip.read_bytes()[:-4])
    rows = [
        source(path, name=f"{path.stem}{n}", start_s=n / 10, duration_s=0.1) for path in (clip, cut) for n in range(9)
    ]
    receipt = make_shard(clip.parent, config(), Part(number=0, read=lambda: rows))
    assert opened == [clip, cut] and len(receipt.ids) == 9
    assert {(bad.reason, bad.message.split(" (")[0]) for bad in receipt.bad} == {("cut short", "t.jsonl:1")}


LEFT, RIGHT = speech(16_000, 2).T
NONE = np.full(16_000, 0.1, np.float32)


def stereo(path: Path, *channels: np.ndarray) -> Path:
    soundfile.write(path / "many.wav", np.stack(channels, axis=1), 16000, subtype="FLOAT")
    return path / "many.wav"


def test_the_channel_of_a_row_wins(tmp_path: Path) -> None:
    path = stereo(tmp_path, LEFT, RIGHT)
    for channels in ("first", "loudest", "mix", "split"):
        (record,) = records(source(path, channel=1, start_s=0.5), channels=channels)
        assert (record.key, record.text, record.channels) == ("a", "words", 2)
        np.testing.assert_array_equal(record.waveform, RIGHT[8000:])
    for channel in (2, -1):
        assert refusal(source(path, channel=channel)) == (
            "channel",
            f"t.jsonl:1 (a): channel {channel} (from 0) of 2; correct the number",
        )


def test_split_channels_are_utterances_without_a_text_of_their_own(tmp_path: Path) -> None:
    path = stereo(tmp_path, LEFT, NONE, RIGHT)
    found = records(source(path), channels="split", transcripts=False)
    assert [(record.key, record.text) for record in found] == [("a_ch1", ""), ("a_ch3", "")]
    np.testing.assert_array_equal(found[1].waveform, RIGHT)
    reason, message = refusal(source(path), channels="split")
    assert reason == "channel" and "one text and 3 channels to split" in message
    mono = stereo(tmp_path, LEFT)
    assert [(record.key, record.text) for record in records(source(mono), channels="split")] == [("a", "words")]
    assert refusal(source(stereo(tmp_path, NONE, NONE)), channels="split", transcripts=False)[0] == "silent"


def test_a_silent_first_channel_is_counted_where_another_is_heard(tmp_path: Path) -> None:
    path = stereo(tmp_path, NONE, RIGHT)
    rows = [source(path), source(path, name="b", channel=1)]
    receipt = make_shard(tmp_path, config(), Part(number=0, read=lambda: rows))
    assert receipt.counts == {"several_channels": 2, "channels_by_setting": 1, "silent_first_channel": 1}


@pytest.mark.parametrize(
    ("sound", "rate", "reason"),
    [
        (speech(16_000) * 20_000, 16000, "level"),
        (speech(16_000) * 0 + 0.3, 16000, "silent"),
        (speech(16_000) * 1e-4, 16000, "silent"),
        (speech(16_000), 1, "sample rate"),
        (speech(16_000), 3999, "sample rate"),
        (speech(16_000), 400_000, "sample rate"),
        (speech(16_000)[8000:8001], 48000, "zero length"),
        (speech(16_000)[:0], 16000, "zero length"),
        (np.where(np.arange(16_000) == 9, np.nan, speech(16_000)[:, 0]), 16000, "not finite"),
    ],
)
def test_what_cannot_be_true_is_refused(tmp_path: Path, sound: np.ndarray, rate: int, reason: str) -> None:
    soundfile.write(tmp_path / "odd.wav", sound, rate, subtype="FLOAT")
    assert refusal(source(tmp_path / "odd.wav"))[0] == reason


def test_a_little_above_full_scale_is_no_fault_and_silence_may_be_kept(tmp_path: Path) -> None:
    for scale in (1.3, 1e-5):
        sound = speech(16_000)[:, 0]
        soundfile.write(tmp_path / "odd.wav", sound * scale / np.abs(sound).max(), 16000, subtype="FLOAT")
        assert len(records(source(tmp_path / "odd.wav"), silence_peak_dbfs=None)) == 1


def test_what_lasts_longer_than_shards_hold_is_refused(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_S", 1)
    assert refusal(source(clip))[0] == "too long"
    assert len(records(source(clip, duration_s=0.9))) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audio": Path("nul\0.wav")}, "unreadable"),
        ({"audio": Path("x" * 300)}, "unreadable"),
        ({"audio": Path("\ud800.wav")}, "unreadable"),
        ({"audio": Path()}, "unreadable"),
        ({"audio": None}, "incomplete"),
        ({"audio": b""}, "zero length"),
        ({"text": "\ud800"}, "metadata"),
        ({"meta": {"score": float("nan")}}, "metadata"),
        ({"meta": {"when": object()}}, "metadata"),
        ({"text": None}, "no text"),
        ({"place": "t\n.jsonl:1", "name": "a\0\x1b[31m", "audio": None}, "incomplete"),
    ],
)
def test_any_fault_of_one_source_is_its_own(clip: Path, changes: dict[str, Any], reason: str) -> None:
    row = source(**{"audio": clip, **changes})
    with pytest.raises(AudioError) as caught:
        records(row)
    assert caught.value.reason == reason and str(caught.value).isprintable()


@pytest.mark.parametrize("error", [MemoryError, ValueError, OverflowError, RuntimeError, UnicodeError, RecursionError])
def test_an_unforeseen_error_is_a_named_refusal(
    clip: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*args: object) -> None:
        raise error("as never before")

    monkeypatch.setattr(module, "part_of", fail)
    assert refusal(source(clip)) == ("unreadable", f"t.jsonl:1 (a): {error.__name__}: as never before; leave it out")


@pytest.mark.parametrize("error", [NameError, AttributeError, TypeError, AssertionError])
def test_a_mistake_of_the_code_is_none(clip: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*args: object) -> None:
        raise error("as never before")

    monkeypatch.setattr(module, "part_of", fail)
    with pytest.raises(error, match="as never before"):
        records(source(clip))


def test_the_list_is_json_whatever_the_names_hold(tmp_path: Path) -> None:
    from megatron_speech.audio.quarantine import read_quarantine, write_quarantine
    from megatron_speech.audio.shards import BadRecord

    name = "a\0b\n\x1b[31m\udcff\ud800é"
    write_quarantine(tmp_path / "q.jsonl", [BadRecord(shard="s", key=name, reason="r", message=name)] * 2)
    lines = (tmp_path / "q.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and json.loads(lines[0])["key"] == r"a\x00b\n\x1b[31m\udcff\ud800é"
    assert read_quarantine(tmp_path / "q.jsonl")[0].message.isprintable()


def test_a_side_in_unknown_words_matters_where_there_are_several_channels(tmp_path: Path, clip: Path) -> None:
    path = stereo(tmp_path, LEFT, RIGHT)
    reason, message = refusal(source(path, side="channel='BBC'"))
    assert reason == "channel" and "channel='BBC' may say which of its 2 channels" in message
    assert len(records(source(path, side="channel='BBC'", channel=1))) == 1
    assert len(records(source(clip, side="channel='BBC'"))) == 1


@pytest.mark.parametrize(("samples", "kept"), [(1, False), (319, False), (320, True)])
def test_what_is_too_short_to_hold_speech_is_refused(tmp_path: Path, samples: int, kept: bool) -> None:
    soundfile.write(tmp_path / "short.wav", 0.3 * np.sin(np.arange(samples) + 1), 16000)
    if kept:
        assert len(records(source(tmp_path / "short.wav"))[0].waveform) == samples
        return
    with pytest.raises(AudioError, match="hold no speech") as caught:
        records(source(tmp_path / "short.wav"))
    assert caught.value.reason == "too short"
