"""Cut listed utterances out of their recordings, check them, choose channels and resample to 16 kHz.

Times are rounded to the nearest sample at the rate of the recording; the end (`start_s` + `duration_s`) is exclusive.
So consecutive parts neither share nor miss a sample. A part may end up to 10 ms after the recording, because times
are often rounded to hundredths; it is then cut to the recording. A stated length of the whole recording may be off by
100 ms. For MP3, both tolerances include the silence that the encoder adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megatron_speech.audio.channels import Choice, Heard, hear, speaking
from megatron_speech.audio.checks import (
    LONGEST_S,
    SHORTEST_S,
    SILENCE_PEAK_DBFS,
    AudioError,
    check_level,
    checked_samples,
    is_silent,
    naming,
)
from megatron_speech.audio.io import SAMPLE_RATE, to_rate
from megatron_speech.audio.recording import Recording
from megatron_speech.audio.shards import AudioRecord, check_record
from megatron_speech.audio.sources.listed import ListedUtterance
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

END_TOLERANCE_S = 0.01
"""Seconds by which a part may end after its recording."""
LENGTH_TOLERANCE_S = 0.1
"""Seconds by which the stated length of a recording may differ from its real length."""


@dataclass(frozen=True, kw_only=True)
class ImportedUtterance:
    """An utterance to write, with facts for the counts of the import."""

    record: AudioRecord
    by_setting: bool
    """Whether the recording has several channels and the setting `channels` decided which to use."""
    moved: bool
    """Whether another channel is used because the first is silent."""


class Recordings:
    """Keeps the last recording open, because rows that cut up one file mostly follow each other."""

    def __init__(self) -> None:
        self._audio: Path | bytes | None = None
        self._opened: Recording | AudioError | None = None

    def open(self, audio: Path | bytes) -> Recording:
        """Open a file or its bytes, or return the open recording; raises `AudioError` each time if it is unusable."""
        if audio is not self._audio and (isinstance(audio, bytes) or audio != self._audio):
            self.close()
            try:
                self._opened = Recording(audio)
            except AudioError as error:
                self._opened = error
            self._audio = audio
        if isinstance(self._opened, AudioError):
            raise AudioError(str(self._opened), self._opened.reason)
        assert self._opened is not None
        return self._opened

    def close(self) -> None:
        """Close the recording that is open, if one is; the next request opens its own."""
        if isinstance(self._opened, Recording):
            self._opened.close()
        self._audio = self._opened = None


def utterances(listed: ListedUtterance, config: ImportSpeechConfig, recordings: Recordings) -> list[ImportedUtterance]:
    """Utterances made from `listed`: one, or one per channel if channels are split.

    Raises `AudioError` (with place and name) if there is none. Every error caused by the data becomes an
    `AudioError`; errors that only a bug in this code can cause are not converted.
    """
    with naming(f"{listed.place} ({listed.name})"):
        try:
            return list(_utterances(listed, config, recordings))
        except (AudioError, NameError, AttributeError, TypeError, AssertionError):
            raise
        except Exception as error:
            raise AudioError(f"{type(error).__name__}: {error}; leave it out", "unreadable") from error


def _utterances(
    listed: ListedUtterance, config: ImportSpeechConfig, recordings: Recordings
) -> Iterator[ImportedUtterance]:
    # Utterances without a usable recording or text.
    if listed.defect is not None:
        reason, why = listed.defect
        raise AudioError(why, reason)
    if config.transcripts and not (listed.text or "").strip():
        raise AudioError("no text; write it, leave the row out, or set transcripts to false", "no text")
    if listed.audio is None:
        raise AudioError("no recording; add it", "incomplete")
    recording = recordings.open(listed.audio)
    if listed.side is not None and listed.channel is None and recording.channels > 1:
        message = f"{listed.side} may say which of its {recording.channels} channels this is; map the column to channel"
        raise AudioError(f"{message} (a number from 0, or A and B), or list it under metadata", "channel")
    # Cut out the part, and choose its channels.
    samples = checked_samples(recording.read(*part_of(listed, recording)))
    level = SILENCE_PEAK_DBFS if config.silence_peak_dbfs is None else config.silence_peak_dbfs
    split = config.channels == "split" and listed.channel is None and recording.channels > 1
    for heard in _apart(samples, level, config) if split else [_heard(listed, samples, level, config)]:
        check_level(heard.waveform)
        waveform = to_rate(heard.waveform, recording.sample_rate, SAMPLE_RATE)
        if len(waveform) < SHORTEST_S * SAMPLE_RATE:
            raise AudioError(f"{len(waveform) / SAMPLE_RATE:.4f} s hold no speech; leave it out", "too short")
        if config.silence_peak_dbfs is not None and is_silent(waveform, level):
            raise AudioError(f"no sound above {level:g} decibels of full scale; leave it out", "silent")
        meta = listed.meta if listed.key == listed.name else {**listed.meta, "source_id": listed.name}
        if split or listed.channel is not None:
            meta = {**meta, "source_channel": heard.channel}
        record = AudioRecord(
            key=f"{listed.key}_ch{(heard.channel or 0) + 1}" if split else listed.key,
            waveform=waveform,
            text="" if split else listed.text or "",
            meta=meta,
            channels=recording.channels,
        )
        check_record(record)
        by_setting = listed.channel is None and recording.channels > 1
        moved = config.channels == "first" and by_setting and heard.channel != 0
        yield ImportedUtterance(record=record, by_setting=by_setting, moved=moved)


def part_of(listed: ListedUtterance, recording: Recording) -> tuple[int, int]:
    """Range of samples (half-open) of `listed` in `recording`; `AudioError` if the recording has no such part."""
    rate, frames = recording.sample_rate, recording.num_frames
    lasts = frames / rate
    stated = listed.whole_duration_s
    if stated is not None and not abs(stated - lasts) <= LENGTH_TOLERANCE_S + recording.padding_s:
        raise AudioError(f"the recording lasts {lasts:.3f} s and not {stated:g} s; correct one of them", "duration")
    start_s = listed.start_s
    stop_s = lasts if listed.duration_s is None else start_s + listed.duration_s
    if not (0 <= start_s < stop_s <= lasts + END_TOLERANCE_S + recording.padding_s):
        if not frames:
            raise AudioError("no samples; leave it out", "zero length")
        message = f"no part from {start_s:g} s to {stop_s:g} s in a recording of {lasts:.3f} s; correct the times"
        raise AudioError(message, "segment")
    start = nearest_sample(start_s, rate)
    stop = frames if listed.duration_s is None else min(nearest_sample(stop_s, rate), frames)
    if not start < stop:
        raise AudioError(f"less than a sample from {start_s:g} s to {stop_s:g} s; correct the times", "segment")
    if (stop - start) / rate >= LONGEST_S:
        raise AudioError(f"{(stop - start) / rate:.0f} s; cut it into parts of less than {LONGEST_S} s", "too long")
    return start, stop


def nearest_sample(seconds: float, sample_rate: int) -> int:
    """Number of the sample nearest to `seconds`; ties go to the later one, also after inexact sums of decimals."""
    return math.floor(round(seconds * sample_rate, 3) + 0.5)


def _heard(listed: ListedUtterance, samples: np.ndarray, level: float, config: ImportSpeechConfig) -> Heard:
    count = samples.shape[1]
    if listed.channel is not None:
        if not 0 <= listed.channel < count:
            raise AudioError(f"channel {listed.channel} (from 0) of {count}; correct the number", "channel")
        return Heard(samples[:, listed.channel], listed.channel)
    choice: Choice = "first" if config.channels == "split" else config.channels
    return hear(samples, choice, silence_peak_dbfs=level)


def _apart(samples: np.ndarray, level: float, config: ImportSpeechConfig) -> list[Heard]:
    """Every channel that is not silent, as a waveform of its own."""
    if config.transcripts:
        message = (
            f"one text and {samples.shape[1]} channels to split; give each row a channel, or set transcripts: false"
        )
        raise AudioError(message, "channel")
    heard = speaking(samples, level)
    if not heard:
        raise AudioError(f"no channel comes up to {level:g} decibels of full scale; leave it out", "silent")
    return [Heard(samples[:, n], n) for n in heard]
