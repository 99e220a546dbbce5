"""Checks clips before they are encoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from megatron_speech.audio.checks import checked_waveform
from megatron_speech.audio.io import SAMPLE_RATE


def checked_clips(
    waveforms: Sequence[np.ndarray], *, sample_rate: int, max_samples: int, names: Sequence[str] | None = None
) -> list[torch.Tensor]:
    """Turn waveforms into float32 tensors [N].

    Raises ValueError for a clip that is empty, not mono, not finite or longer than `max_samples`, with its name from
    `names`. Also raises ValueError for a `sample_rate` other than 16 kHz.
    """
    if sample_rate != SAMPLE_RATE:
        raise ValueError(
            f"sample_rate={sample_rate}: Whisper takes {SAMPLE_RATE} samples per second; resample the audio first"
        )
    clips = []
    for index, waveform in enumerate(waveforms):
        name = names[index] if names is not None else f"clip {index}"
        if waveform.ndim != 1:
            raise ValueError(f"{name}: shape {waveform.shape} is not one channel; take the first channel")
        if len(waveform) > max_samples:
            raise ValueError(
                f"{name}: lasts {len(waveform) / SAMPLE_RATE:g} s, longer than the {max_samples / SAMPLE_RATE:g} s "
                "that Whisper's encoder takes at once; cut it or leave it out"
            )
        clips.append(torch.from_numpy(checked_waveform(waveform, name=name)))
    return clips
