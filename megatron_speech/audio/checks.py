"""Plausibility checks of recordings: sample rate, level, length and silence.

Limits are wide: they refuse broken recordings, but do not judge the quality of a corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SAMPLE_RATES = (4_000, 384_000)
"""Lowest and highest plausible sample rate, in Hz."""
HIGHEST_PEAK = 10 ** (3 / 20)
"""Largest plausible sample, 3 dB above full scale. Lossy decoders overshoot by less; integers stored as floats are
thousands of times larger."""
SHORTEST_S = 0.02
"""Shortest utterance in seconds; less holds no speech and not even one window of features."""
LONGEST_S = 100_000
"""Longest utterance of audio shards, in seconds."""
SILENCE_PEAK_DBFS = -60.0
"""Peak below which a recording is silent, in decibels relative to full scale."""


class AudioError(ValueError):
    """Raised for unusable audio; the message is one line, and `reason` is a word or two for counting."""

    def __init__(self, message: str, reason: str = "not audio") -> None:
        super().__init__(printable(message))
        self.reason = reason


def printable(text: str) -> str:
    """`text` in one line of printable characters; control characters and undecodable bytes become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Context manager that puts `name` in front of the message of an `AudioError`."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{name}: {error}", error.reason) from error


def check_rate(sample_rate: int) -> None:
    """Raise `AudioError` if `sample_rate` (Hz) is implausible."""
    lowest, highest = SAMPLE_RATES
    if not lowest <= sample_rate <= highest:
        message = f"{sample_rate} samples per second cannot be true ({lowest} to {highest} can); make the file again"
        raise AudioError(message, "sample rate")


def checked_waveform(waveform: np.ndarray, *, name: str) -> np.ndarray:
    """`waveform` as contiguous float32; `AudioError` (with `name`) if it is empty or holds a NaN or infinity."""
    with naming(name):
        return checked_samples(waveform)


def checked_samples(samples: np.ndarray) -> np.ndarray:
    """Like `checked_waveform`, for [samples] or [frames, channels]; errors have no name."""
    if not samples.size:
        raise AudioError("no samples; leave it out", "zero length")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        message = f"{bad} of {samples.size} samples are not finite; leave it out or make it again"
        raise AudioError(message, "not finite")
    return np.ascontiguousarray(samples, dtype=np.float32)


def check_level(waveform: np.ndarray) -> None:
    """Raise `AudioError` if a sample of `waveform` (finite, not empty) exceeds `HIGHEST_PEAK`."""
    peak = float(max(waveform.max(), -waveform.min()))
    if peak > HIGHEST_PEAK:
        message = f"peak {peak:.4g} where full scale is 1; scale the samples to -1 .. 1, or store integers as such"
        raise AudioError(message, "level")


def peak_of(waveform: np.ndarray) -> float:
    """Largest distance of a sample from the mean of `waveform` [samples]; a constant offset does not count."""
    mean = float(waveform.mean(dtype=np.float64))
    return max(float(waveform.max()) - mean, mean - float(waveform.min()))


def is_silent(waveform: np.ndarray, peak_dbfs: float) -> bool:
    """Whether the peak of `waveform` [samples], without a constant offset, is below `peak_dbfs`."""
    return peak_of(waveform) < 10 ** (peak_dbfs / 20)
