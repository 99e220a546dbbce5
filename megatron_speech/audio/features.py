"""Whisper's log-mel features: 16 kHz audio to 100 frames per second; this is the reference, in plain torch.

Every clip is computed alone and at its own length. Whisper clamps bins to a floor 8 decades below the loudest bin of
the clip; in a padded batch, other clips would change it. Cost: one small FFT call per clip.

The floor depends on the loudest moment of the whole clip, so a stream cannot compute it. A causal tokenizer uses
`Blocks`: the floor is 8 decades below the loudest bin up to the end of the frame's block. The same class computes
whole clips and streams, block by block, so both give the same bits. Cost: one small FFT call per block.
Limitation: sounds more than 8 decades below speech (mostly digital silence at the start) are not clamped until speech
begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from transformers.audio_utils import mel_filter_bank

from megatron_speech.audio.io import SAMPLE_RATE

HOP = 160
"""Samples between frames (10 ms)."""
WINDOW = 400
"""Size of the Hann window (25 ms) and of the FFT, in samples."""
FLOOR_DECADES = 8.0
"""Distance of the floor below the loudest bin, in powers of ten."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Sizes of the blocks of frames: first `lead + frames`, then `frames` each, the rest at the end."""

    frames: int
    lead: int
    """Lookahead: frames of the next block that a block needs."""

    def sizes(self, num_frames: int) -> list[int]:
        """Lengths of the blocks of `num_frames` frames."""
        ends = [*range(self.frames + self.lead, num_frames, self.frames), num_frames]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]


class Features(Protocol):
    """Interface for functions that compute the frames of several clips, each as if alone."""

    def __call__(
        self, waveforms_N: Sequence[torch.Tensor], *, num_mel_bins: int, multiple: int, blocks: Blocks | None
    ) -> list[torch.Tensor]:
        """Frames [num_mel_bins, F] of each 16 kHz waveform [N], with a floor per block, or per clip if None."""


def torch_features(
    waveforms_N: Sequence[torch.Tensor], *, num_mel_bins: int, multiple: int = HOP, blocks: Blocks | None = None
) -> list[torch.Tensor]:
    """`log_mel` of each clip: the reference implementation of `Features`."""
    return [log_mel(waveform, num_mel_bins=num_mel_bins, multiple=multiple, blocks=blocks) for waveform in waveforms_N]


def log_mel(
    waveform_N: torch.Tensor, *, num_mel_bins: int, multiple: int = HOP, blocks: Blocks | None = None
) -> torch.Tensor:
    """Log-mel frames [num_mel_bins, F] of one 16 kHz waveform [N], padded with zeros to a `multiple` of samples.

    F is the padded length divided by `HOP`. Without `blocks`, the result equals transformers'
    WhisperFeatureExtractor on the padded waveform; with `blocks`, it equals `BlockLogMel`.
    """
    assert waveform_N.ndim == 1 and waveform_N.numel() > 0, f"{waveform_N.shape=} is not a clip"
    assert multiple % HOP == 0, f"{multiple=} must be a multiple of {HOP=}"
    if blocks is not None:
        stream = BlockLogMel(num_mel_bins=num_mel_bins, blocks=blocks, device=waveform_N.device)
        return torch.cat([*stream.push(waveform_N), *stream.finish(multiple)], dim=1)
    length = -(-waveform_N.numel() // multiple) * multiple
    # The centred transform reflects half a window at both ends, so it needs more samples than half a window.
    padded = F.pad(waveform_N.float(), (0, max(length, 2 * HOP) - waveform_N.numel()))
    return floored(_decades(_reflected(padded), length // HOP, num_mel_bins))


def floored(decades_MF: torch.Tensor, blocks: Blocks | None = None) -> torch.Tensor:
    """Clamp and scale log10 mel power [M, F] as Whisper does, with one floor, or with one per block."""
    parts, peak = [], decades_MF.new_tensor(-torch.inf)
    for part in decades_MF.split(blocks.sizes(decades_MF.shape[1]) if blocks else decades_MF.shape[1], dim=1):
        peak = torch.maximum(peak, part.max())
        parts.append(_scaled(part, peak))
    return torch.cat(parts, dim=1)


class BlockLogMel:
    """Streaming log-mel features of one clip: yields each block once the window of its last frame is complete.

    A window is centred on its frame, so a block needs 40 samples (2.5 ms) after its last hop. Memory is one block of
    samples, whatever the length of the clip.
    """

    def __init__(self, *, num_mel_bins: int, blocks: Blocks, device: torch.device | str = "cpu") -> None:
        self.num_mel_bins, self.blocks = num_mel_bins, blocks
        # The half window before the first sample is a reflection, which `push` writes once the samples are there.
        self.pending_N = torch.zeros(WINDOW + (blocks.frames + blocks.lead) * HOP, device=device)
        """Samples from the start of the next frame's window on; the first `num_pending` are valid."""
        self.reset()

    def reset(self) -> None:
        """Start a new clip."""
        self.num_pending, self.num_samples, self.num_frames = WINDOW // 2, 0, 0
        self.peak = self.pending_N.new_tensor(-torch.inf)

    def push(self, samples_N: torch.Tensor) -> Iterator[torch.Tensor]:
        """Add samples; yield the frames [num_mel_bins, F] of each block that they complete."""
        while len(samples_N):
            size = self.blocks.frames + (self.blocks.lead if self.num_frames == 0 else 0)
            needed = (size - 1) * HOP + WINDOW
            taken = min(needed - self.num_pending, len(samples_N))
            self.pending_N[self.num_pending : self.num_pending + taken] = samples_N[:taken]
            self.num_pending += taken
            self.num_samples += taken
            samples_N = samples_N[taken:]
            if self.num_pending == needed:
                if self.num_frames == 0:
                    self.pending_N[: WINDOW // 2] = self.pending_N[WINDOW // 2 + 1 : WINDOW + 1].flip(0)
                yield self._frames(self.pending_N[:needed], size)
                self.num_pending -= size * HOP
                self.pending_N[: self.num_pending] = self.pending_N[size * HOP : needed].clone()

    def finish(self, multiple: int) -> Iterator[torch.Tensor]:
        """Pad with zeros to a `multiple` of samples and yield the remaining frames, as at the end of a whole clip."""
        length = -(-self.num_samples // multiple) * multiple
        yield from self.push(self.pending_N.new_zeros(length - self.num_samples))
        left = length // HOP - self.num_frames
        if left == 0:
            return
        heard = self.pending_N[: self.num_pending]
        if self.num_frames == 0:
            samples = heard[WINDOW // 2 :]
            extended = _reflected(F.pad(samples, (0, max(length, 2 * HOP) - length)))
        else:
            extended = torch.cat([heard, heard[-WINDOW // 2 - 1 : -1].flip(0)])
        yield self._frames(extended[: (left - 1) * HOP + WINDOW], left)

    def _frames(self, samples_N: torch.Tensor, num_frames: int) -> torch.Tensor:
        decades_MF = _decades(samples_N, num_frames, self.num_mel_bins)
        self.num_frames += num_frames
        self.peak = torch.maximum(self.peak, decades_MF.max())
        return _scaled(decades_MF, self.peak)


def _scaled(decades_MF: torch.Tensor, peak: torch.Tensor) -> torch.Tensor:
    """Clamp to the floor below `peak` and scale to about -1 .. 1."""
    return (torch.maximum(decades_MF, peak - FLOOR_DECADES) + 4.0) / 4.0


def _reflected(samples_N: torch.Tensor) -> torch.Tensor:
    """Samples with half a window of their reflection at both ends."""
    return F.pad(samples_N[None], (WINDOW // 2, WINDOW // 2), mode="reflect")[0]


def _decades(samples_N: torch.Tensor, num_frames: int, num_mel_bins: int) -> torch.Tensor:
    """Log10 mel power [num_mel_bins, num_frames] of the first windows in `samples_N`."""
    window, filters_MK = _window_and_filters(num_mel_bins, samples_N.device)
    spectrum = torch.stft(samples_N, WINDOW, HOP, window=window, center=False, return_complex=True)[:, :num_frames]
    mel = filters_MK @ spectrum.abs().square()
    return mel.clamp(min=1e-10).log10()


@cache
def _window_and_filters(num_mel_bins: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Hann window [WINDOW] and Slaney mel filters [num_mel_bins, WINDOW // 2 + 1] from 0 to 8 kHz, made once."""
    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=num_mel_bins,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    with torch.inference_mode(False):  # cached tensors have to work outside inference mode too
        window = torch.hann_window(WINDOW, device=device)
        return window, torch.from_numpy(filters.T).float().contiguous().to(device)
