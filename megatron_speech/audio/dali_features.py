"""Log-mel features of `audio.features` computed by NVIDIA DALI on CPU or GPU; torch remains the reference.

DALI accepts clips of different lengths in one batch without padding, so every clip gets the frames it has alone. Its
defaults differ from Whisper's, so window and mel range are set explicitly (DALI's own window differs by 0.18). DALI
does not resample here, because its resampler aliases at full strength: audio must be at 16 kHz (`audio.io.resample`).
Cost: slower than torch on a CPU; meant for GPUs that tokenize much audio.
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
    """Implementation of `features.Features` by DALI; not thread-safe, because it holds DALI pipelines."""

    def __init__(
        self, *, device: Literal["cpu", "gpu"] = "cpu", device_id: int = 0, max_clips: int = 64, threads: int = 1
    ) -> None:
        """Set up; the first call builds the pipeline.

        Args:
            device: device of the operators and of the resulting frames.
            device_id: number of the GPU.
            max_clips: clips per batch.
            threads: number of threads of DALI's CPU operators.

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
        """Frames [num_mel_bins, F] of each mono waveform [N], as computed by `features.log_mel`.

        Waveforms should be on the CPU, because DALI reads them there. Frames with `blocks` agree with those of a
        stream to 2e-4, not bit by bit. Raises ValueError if `sample_rate` is not 16 kHz.
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
        # Copied, because the pipeline overwrites its output with the next batch.
        return [torch.from_dlpack(mel).clone() for mel in mels]


def _decades(dali: Any, num_mel_bins: int, device: str) -> Any:
    """DALI graph from the inputs "waveform" [N] and "frames" [1] to log10 mel power [num_mel_bins, frames]."""
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
    power = fn.slice(power, 0, frames, axes=[1])  # Whisper leaves out the frame centred on the end
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
