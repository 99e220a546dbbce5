"""Read, write and resample audio: from files of many formats to mono float32 at one sample rate.

libsndfile decodes (`recording`), and soxr resamples once with its high-quality polyphase filter. Files that are not
audio, truncated or implausible are refused by name, so later stages never see a NaN or an empty clip. One of several
channels is used (`channels`), and a warning says so. Cost: a whole utterance is held in memory.
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

from megatron_speech.audio.channels import Choice, hear
from megatron_speech.audio.checks import (
    SHORTEST_S,
    SILENCE_PEAK_DBFS,
    AudioError,
    check_level,
    checked_samples,
    is_silent,
    naming,
    printable,
)
from megatron_speech.audio.recording import Recording

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16000
"""Sample rate (Hz) of all speech in the later stages."""


class Decoded(NamedTuple):
    """One channel of a decoded file."""

    waveform: np.ndarray
    """Float32 [samples], finite and not empty."""
    sample_rate: int
    """Sample rate of the file in Hz."""
    channels: int
    """Number of channels of the file."""
    channel: int | None
    """The channel used, from 0; None for the mean of all."""


def read_audio(path: Path, *, sample_rate: int = SAMPLE_RATE, channels: Choice = "first") -> np.ndarray:
    """Mono float32 waveform [samples] of the file `path` at `sample_rate` (Hz).

    Raises FileNotFoundError if it is absent; ValueError (names the file) if it is not audio, truncated, empty or
    implausible.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{printable(str(path))}: no such audio file; correct the path")
    waveform, rate = decode_audio(path, name=str(path), channels=channels)
    with naming(str(path)):
        return to_rate(waveform, rate, sample_rate)


def read_speech(path: Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Like `read_audio`, for speech that a person gives; ValueError too if it is silent or shorter than a word."""
    waveform = read_audio(path, sample_rate=sample_rate)
    with naming(str(path)):
        if len(waveform) < SHORTEST_S * sample_rate:
            raise AudioError(f"{len(waveform) / sample_rate:.4f} s hold no speech; record more", "too short")
        if is_silent(waveform, SILENCE_PEAK_DBFS):
            raise AudioError(f"no sound above {SILENCE_PEAK_DBFS:g} decibels of full scale; record it again", "silent")
    return waveform


def decode_audio(data: Path | bytes, *, name: str, channels: Choice = "first") -> tuple[np.ndarray, int]:
    """Mono float32 waveform [samples] and sample rate of a file or its bytes; `name` is used in errors and the log."""
    found = decode(data, name=name, channels=channels)
    if found.channels > 1:
        _say_channels(name, found.channels, found.channel)
    return found.waveform, found.sample_rate


def decode(data: Path | bytes, *, name: str, channels: Choice = "first") -> Decoded:
    """One channel of an audio file or its bytes; `AudioError` if it is not audio, truncated or implausible.

    Does not log that a file has several channels, for callers that count such files.
    """
    with naming(name), Recording(data) as recording:
        waveform, channel = hear(checked_samples(recording.read()), channels)
        check_level(waveform)
        return Decoded(waveform, recording.sample_rate, recording.channels, channel)


@lru_cache(maxsize=1 << 12)
def _say_channels(name: str, channels: int, channel: int | None) -> None:
    """Warn once per name, because a training run reads its clips repeatedly."""
    heard = "their mean" if channel is None else f"only number {channel + 1}" if channel else "only the first"
    logger.warning("%s: %d channels, %s is used", name, channels, heard)


def encode_flac(waveform: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> bytes:
    """FLAC bytes (16 bit) of a mono float waveform [samples], clipped to [-1, 1]."""
    return _encode(waveform, sample_rate, "FLAC")


def write_audio(path: Path, waveform: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> None:
    """Write a mono float waveform [samples] as 16-bit .wav or .flac, by the ending of `path`; whole or not at all."""
    kind = path.suffix.removeprefix(".").upper()
    if kind not in ("WAV", "FLAC"):
        raise ValueError(f"{path}: audio is written as .wav or .flac; choose one of these endings")
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(_encode(waveform, sample_rate, kind))
    temporary.replace(path)


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample a waveform [samples] by soxr (high quality); return the same array if the rates are equal."""
    if from_rate == to_rate:
        return waveform
    resampled: np.ndarray = soxr.resample(waveform, from_rate, to_rate, quality="HQ")
    return resampled.astype(np.float32, copy=False)


def to_rate(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """`resample` a waveform and check the result; `AudioError` (without a name) if it is empty or too loud."""
    try:
        waveform = resample(waveform, from_rate, to_rate)
    except Exception as error:  # of soxr, a library
        raise AudioError(f"cannot be resampled ({type(error).__name__}: {error}); leave it out") from error
    with naming(f"at {to_rate} samples per second"):
        check_level(waveform := checked_samples(waveform))
    return waveform


def _encode(waveform: np.ndarray, sample_rate: int, kind: str) -> bytes:
    # Rounded here, not by libsndfile, so that the bytes depend only on the waveform.
    pcm = np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate, format=kind, subtype="PCM_16")
    return buffer.getvalue()
