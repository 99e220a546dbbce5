"""The log-mel frames of `audio.features` by NVIDIA DALI, on CPU or GPU operators; torch stays the reference.

DALI takes clips of different lengths in one batch without padding them to each other, so a clip's frames are those it
has alone. Its defaults are not Whisper's: window and mel range are stated here one by one (with its own window
the difference is 0.18). It never resamples: its resampler lets what lies above the new Nyquist frequency fold back at
full strength, so audio comes at 16 kHz, by soxr, or is refused. Price: on a CPU it is slower than torch; its place is a
GPU that tokenizes much audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from megatron_speech.audio.features import HOP, WINDOW, Blocks, floored
from megatron_speech.audio.io import SAMPLE_RATE


class DaliFeatures:
    """`features.Features` by DALI; holds its pipelines, for one thread at a time."""

    def __init__(
        self, *, device: Literal["cpu", "gpu"] = "cpu", device_id: int = 0, max_clips: int = 64, threads: int = 1
    ) -> None:
        """Nothing is built before the first call.

        Args:
            device: which operators compute, and where the frames lie.
            device_id: number of the GPU.
            max_clips: clips computed at once.
            threads: of DALI's CPU operators.

        Raises:
            ValueError: DALI is not installed.
        """
        try:
            import nvidia.dali as dali
        except ImportError as error:
            raise ValueError(f"features=dali: {error}; pip install 'megatron-speech[dali]', or use torch") from error
        self._dali = dali
        self._device = device
        self._device_id = device_id if device == "gpu" else None
        self._max_clips = max_clips
        self._threads = threads
        self._pipelines: dict[int, Any] = {}

    def __call__(
        self,
        waveforms_N: Sequence[torch.Tensor],
        *,
        num_mel_bins: int,
        multiple: int = HOP,
        blocks: Blocks | None = None,
        sample_rate: int = SAMPLE_RATE,
    ) -> list[torch.Tensor]:
        """Frames [num_mel_bins, F] of each mono waveform [N], as `features.log_mel` gives them.

        Waveforms are best given on the CPU, from where DALI fetches them.
        A block's frames agree with a stream's to 2e-4, not to the bit. ValueError where `sample_rate` is not 16 kHz.
        """
        if sample_rate != SAMPLE_RATE:
            raise ValueError(
                f"DALI features: sample_rate={sample_rate} must be {SAMPLE_RATE}; DALI's resampler does not filter "
                "what would alias, resample by audio.io.resample first"
            )
        assert multiple % HOP == 0, f"{multiple=} must be a multiple of {HOP=}"
        if num_mel_bins not in self._pipelines:
            self._pipelines[num_mel_bins] = self._build(num_mel_bins)
        mels: list[torch.Tensor] = []
        for start in range(0, len(waveforms_N), self._max_clips):
            batch = waveforms_N[start : start + self._max_clips]
            mels += self._compute(self._pipelines[num_mel_bins], batch, multiple)
        return [floored(mel, blocks) for mel in mels]

    def _build(self, num_mel_bins: int) -> Any:
        pipeline = self._dali.Pipeline(
            batch_size=self._max_clips,
            num_threads=self._threads,
            device_id=self._device_id,
            prefetch_queue_depth=1,
        )
        with pipeline:
            pipeline.set_outputs(_decades(self._dali, num_mel_bins, self._device))
        pipeline.build()
        return pipeline

    def _compute(self, pipeline: Any, waveforms_N: Sequence[torch.Tensor], multiple: int) -> list[torch.Tensor]:
        lengths = [-(-wave.numel() // multiple) * multiple for wave in waveforms_N]
        clips = [
            F.pad(wave.float().cpu(), (0, max(length, 2 * HOP) - wave.numel())).numpy()
            for wave, length in zip(waveforms_N, lengths, strict=True)
        ]
        pipeline.feed_input("waveform", clips)
        pipeline.feed_input("frames", [np.array([length // HOP], np.int32) for length in lengths])
        (mels,) = pipeline.run()
        # A copy, because the pipeline writes the next batch where this one lies.
        return [torch.from_dlpack(mel).clone() for mel in mels]


def _decades(dali: Any, num_mel_bins: int, device: str) -> Any:
    """The graph, from the inputs "waveform" [N] and "frames" [1] to log10 mel power [num_mel_bins, frames]."""
    fn = dali.fn
    waveform = fn.external_source(name="waveform", dtype=dali.types.FLOAT, ndim=1)
    frames = fn.external_source(name="frames", dtype=dali.types.INT32, ndim=1)
    if device == "gpu":
        waveform = waveform.gpu()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)  # periodic Hann; DALI's own is symmetric
    power = fn.spectrogram(
        waveform,
        nfft=WINDOW,
        window_length=WINDOW,
        window_step=HOP,
        window_fn=window.tolist(),
        center_windows=True,
        reflect_padding=True,
        power=2,
    )
    power = fn.slice(power, 0, frames, axes=[1])  # as Whisper leaves out the frame centred on the end
    mel = fn.mel_filter_bank(
        power,
        nfilter=num_mel_bins,
        sample_rate=float(SAMPLE_RATE),
        freq_low=0.0,
        freq_high=SAMPLE_RATE / 2,
        mel_formula="slaney",
        normalize=True,
    )
    return 0.1 * fn.to_decibels(mel, multiplier=10.0, reference=1.0, cutoff_db=-100.0)
