"""Utterances as listed, cut out: the part of a recording that one names, checked, of the channels asked for, at 16 kHz.

Times become samples of the recording's own rate, each to the nearest: from `start_s` up to, not with, the sample at
`start_s` + `duration_s`. So parts that follow each other share no sample and miss none. A part may end 10 ms behind the
recording (times are rounded, often to hundredths) and ends with it then. Where a corpus says how long the recording
is, 100 ms more or less are the same. For MP3 the silence that its encoder added is tolerated too.
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
"""How far behind its recording a part may end."""
LENGTH_TOLERANCE_S = 0.1
"""How far a stated length of a recording may lie from what it has."""


@dataclass(frozen=True, kw_only=True)
class ImportedUtterance:
    """An utterance to be written."""

    record: AudioRecord
    by_setting: bool
    """Whether its recording has several channels, and the setting `channels` chose one, or their mean."""
    moved: bool
    """Whether its recording's first channel was silent, so that another is heard."""


class Recordings:
    """The recording that was asked for last, kept open: the rows that cut up one file mostly follow each other."""

    def __init__(self) -> None:
        self._audio: Path | bytes | None = None
        self._opened: Recording | AudioError | None = None

    def open(self, audio: Path | bytes) -> Recording:
        """The recording; `AudioError`, as often as it is asked for, where there is none."""
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
    """What becomes of `listed`: one utterance, or one per channel where they are split.

    `AudioError` says by place and name why there is none. Any error that the data provoke is one, whatever a library
    calls it; those that only a mistake in this code can raise stay what they are.
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
    """First sample of the part of `recording` that `listed` is, and the one behind its last.

    `AudioError` where the recording has no such part.
    """
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
    """The sample at `seconds`; of two equally near the later. Sums of decimals, which are not exact, fall alike."""
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
    """The channels that are not silent, one by one."""
    if config.transcripts:
        message = (
            f"one text and {samples.shape[1]} channels to split; say whose it is by row, or set transcripts: false"
        )
        raise AudioError(message, "channel")
    heard = speaking(samples, level)
    if not heard:
        raise AudioError(f"no channel comes up to {level:g} decibels of full scale; leave it out", "silent")
    return [Heard(samples[:, n], n) for n in heard]
