"""Choose a channel of a recording: handles silent channels, two speakers, and channels in opposite phase."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from megatron_speech.audio.checks import SILENCE_PEAK_DBFS, AudioError, is_silent

Choice = Literal["first", "loudest", "mix"]
"""The first channel that is not silent, the channel with most energy, or the mean of all channels."""
LEAST_LEFT = 0.1
"""The mean of channels counts as cancelled below this share of the energy that unrelated channels would keep."""


class Heard(NamedTuple):
    """The mono waveform chosen from a recording."""

    waveform: np.ndarray
    """Float32 [samples]."""
    channel: int | None
    """Number of the channel, from 0; None for the mean of all."""


def hear(samples: np.ndarray, choice: Choice = "first", *, silence_peak_dbfs: float = SILENCE_PEAK_DBFS) -> Heard:
    """One waveform of the non-empty `samples` [frames, channels]; `AudioError` if channels cancel in their mean."""
    if samples.shape[1] == 1:
        return Heard(samples[:, 0], 0)
    if choice == "mix":
        return Heard(_mean(samples, silence_peak_dbfs), None)
    if choice == "loudest":
        channel = int(np.argmax(_energies(samples)))
    else:
        channel = next(iter(speaking(samples, silence_peak_dbfs)), 0)
    return Heard(np.ascontiguousarray(samples[:, channel]), channel)


def speaking(samples: np.ndarray, silence_peak_dbfs: float = SILENCE_PEAK_DBFS) -> list[int]:
    """Numbers of the channels of `samples` [frames, channels] that are not silent, ascending."""
    return [n for n in range(samples.shape[1]) if not is_silent(samples[:, n], silence_peak_dbfs)]


def _mean(samples: np.ndarray, silence_peak_dbfs: float) -> np.ndarray:
    mean: np.ndarray = samples.mean(axis=1)
    heard = speaking(samples, silence_peak_dbfs)
    if heard:
        left, least = _energies(mean[:, None])[0], _energies(samples[:, heard]).min()
        if left < LEAST_LEFT * least / samples.shape[1]:
            message = f"its {samples.shape[1]} channels cancel each other: their mean keeps {left / least:.2g} of"
            raise AudioError(f"{message} the energy of one; choose one by channels=first or loudest", "phase")
    return mean


def _energies(samples: np.ndarray) -> np.ndarray:
    """Variance of each channel (energy without a constant offset), float64 [channels]."""
    energies: np.ndarray = samples.var(axis=0, dtype=np.float64)
    return energies
