"""What a recording must be to be used: of a rate, a level and a length that can be true, and not silent.

Limits are wide: they refuse what is broken, and leave taste to whoever selects a corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SAMPLE_RATES = (4_000, 384_000)
"""Lowest and highest believable rate of a recording, in Hz."""
HIGHEST_PEAK = 10 ** (3 / 20)
"""Loudest believable sample, 3 dB above full scale: lossy decoders overshoot by less. Integers that were stored as
floats lie thousands of times higher."""
SHORTEST_S = 0.02
"""Seconds of the shortest utterance: less holds no speech, and not one whole window of features."""
LONGEST_S = 100_000
"""Seconds of the longest utterance that audio shards hold."""
SILENCE_PEAK_DBFS = -60.0
"""Peak below which speech is silence, in decibels of full scale."""


class AudioError(ValueError):
    """A file or utterance that is no usable audio: named in one line, with its reason in a word for whoever counts."""

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
    """An `AudioError` within gets `name` before its message."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{name}: {error}", error.reason) from error


def check_rate(sample_rate: int) -> None:
    """`AudioError` unless recordings of `sample_rate` (Hz) are believable."""
    lowest, highest = SAMPLE_RATES
    if not lowest <= sample_rate <= highest:
        message = f"{sample_rate} samples per second cannot be true ({lowest} to {highest} can); make the file again"
        raise AudioError(message, "sample rate")


def checked_waveform(waveform: np.ndarray, *, name: str) -> np.ndarray:
    """`waveform` as contiguous float32; `AudioError` names one that is empty or holds a NaN or infinity."""
    with naming(name):
        return checked_samples(waveform)


def checked_samples(samples: np.ndarray) -> np.ndarray:
    """`checked_waveform` of [samples] or [frames, channels], without a name."""
    if not samples.size:
        raise AudioError("no samples; leave it out", "zero length")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        message = f"{bad} of {samples.size} samples are not finite; leave it out or make it again"
        raise AudioError(message, "not finite")
    return np.ascontiguousarray(samples, dtype=np.float32)


def check_level(waveform: np.ndarray) -> None:
    """`AudioError` where a sample of `waveform` (finite, not empty) lies above `HIGHEST_PEAK`."""
    peak = float(max(waveform.max(), -waveform.min()))
    if peak > HIGHEST_PEAK:
        message = f"peak {peak:.4g} where full scale is 1; scale the samples to -1 .. 1, or store integers as such"
        raise AudioError(message, "level")


def peak_of(waveform: np.ndarray) -> float:
    """Largest distance of a sample [samples] from their mean: a constant offset makes no sound."""
    mean = float(waveform.mean(dtype=np.float64))
    return max(float(waveform.max()) - mean, mean - float(waveform.min()))


def is_silent(waveform: np.ndarray, peak_dbfs: float) -> bool:
    """Whether no sample [samples] comes up to `peak_dbfs`, measured without the offset."""
    return peak_of(waveform) < 10 ** (peak_dbfs / 20)
