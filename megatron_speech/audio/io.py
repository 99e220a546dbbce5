"""Read, write and resample audio: files of any kind in, mono float32 at one rate out.

Decoding is libsndfile's (soundfile), resampling soxr's high-quality polyphase filter, applied once. What is not audio
is refused by name here, so that no later stage meets a NaN or an empty clip. Of several channels the first
is taken (a mean would cancel opposite phases), and whoever reads says so. Price: whole files in memory.
"""

from __future__ import annotations

import io
import logging
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from megatron_speech.audio.containers import is_empty_flac

log = logging.getLogger(__name__)

SAMPLE_RATE = 16000
"""Samples per second of everything the speech side reads."""


class AudioError(ValueError):
    """A file or utterance that is no usable audio: named in one line, with its reason in a word for whoever counts."""

    def __init__(self, message: str, reason: str = "not audio") -> None:
        super().__init__(message)
        self.reason = reason


class Decoded(NamedTuple):
    """A decoded file."""

    waveform: np.ndarray
    """First channel, float32 [samples], finite and not empty."""
    sample_rate: int
    """Its own."""
    channels: int
    """Of the file."""


def read_audio(path: Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Mono float32 waveform [samples] of the file `path` at `sample_rate`.

    FileNotFoundError if absent; ValueError naming the file if it is no audio, empty, or not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such audio file; correct the path")
    waveform, rate = decode_audio(path.read_bytes(), name=str(path))
    return resample(waveform, rate, sample_rate)


def decode_audio(data: bytes, *, name: str) -> tuple[np.ndarray, int]:
    """Mono float32 waveform [samples] and its own sample rate; `name` is what errors and the log call it."""
    waveform, rate, channels = decode(data, name=name)
    if channels > 1:
        _say_channels(name, channels)
    return waveform, rate


def decode(data: bytes, *, name: str) -> Decoded:
    """The first channel of an audio file's bytes; `AudioError` names what is not audio (a FLAC file cut
    short is none), empty or not finite.

    Silent about channels: for readers of many files, who count.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        if is_empty_flac(data):  # which libsndfile takes for no file at all
            return Decoded(checked_waveform(np.empty(0, np.float32), name=name), SAMPLE_RATE, 1)
        raise AudioError(f"{name}: not readable as audio ({error.error_string.strip()}); convert it to FLAC") from error
    return Decoded(checked_waveform(samples[:, 0], name=name), rate, samples.shape[1])


@lru_cache(maxsize=1 << 12)
def _say_channels(name: str, channels: int) -> None:
    """Once per name: a training reads its clips again and again."""
    log.warning("%s: %d channels, only the first is used", name, channels)


def encode_flac(waveform: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> bytes:
    """FLAC bytes (16 bit) of a mono float waveform [samples] in [-1, 1]; what lies outside is clipped."""
    return _encode(waveform, sample_rate, "FLAC")


def write_audio(path: Path, waveform: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> None:
    """Write a mono float waveform [samples] as 16-bit .wav or .flac, by the file's ending."""
    kind = path.suffix.removeprefix(".").upper()
    if kind not in ("WAV", "FLAC"):
        raise ValueError(f"{path}: audio is written as .wav or .flac; choose one of these endings")
    path.write_bytes(_encode(waveform, sample_rate, kind))


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Waveform [samples] at another rate, soxr high quality; the same array where the rates are equal."""
    if from_rate == to_rate:
        return waveform
    return soxr.resample(waveform, from_rate, to_rate, quality="HQ").astype(np.float32, copy=False)


def checked_waveform(waveform: np.ndarray, *, name: str) -> np.ndarray:
    """`waveform` as contiguous float32; `AudioError` names one that is empty or holds a NaN or infinity."""
    if not waveform.size:
        raise AudioError(f"{name}: no samples; leave it out", "zero length")
    if not np.isfinite(waveform).all():
        bad = int((~np.isfinite(waveform)).sum())
        message = f"{name}: {bad} of {waveform.size} samples are not finite; leave it out or make it again"
        raise AudioError(message, "not finite")
    return np.ascontiguousarray(waveform, dtype=np.float32)


def _encode(waveform: np.ndarray, sample_rate: int, kind: str) -> bytes:
    # Rounded here and not by libsndfile, so that the bytes depend on the waveform alone.
    pcm = np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate, format=kind, subtype="PCM_16")
    return buffer.getvalue()
