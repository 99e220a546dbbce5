"""Encodes a stream of speech: takes chunks of any length and yields the codes of each block once it is complete.

The codes do not depend on the chunks. They equal those of `WhisperVQTokenizer.encode`, because both run `blockwise`
with the same tensor shapes. Whisper's position table covers 30 s (29.92 s at 6.25 codes per second). The encoder then
starts again, as the released code does, so memory is bounded. A longer stream has the codes of such pieces.

Latency: a code waits for the end of its block. Blocks have 2 s in the paper, 4 s in the released model, and 80 ms with
strictly causal attention. The window of the last frame takes 2.5 ms more with causal convolutions, 12.5 ms with centred
ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from megatron_speech.audio.checks import checked_waveform
from megatron_speech.audio.features import HOP, BlockLogMel, Features, torch_features
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.speech_tokenizer.blockwise import BlockEncoder
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel


class StreamingEncoder:
    """The state of one stream of speech."""

    def __init__(self, model: SpeechRecognitionModel, features: Features) -> None:
        """Start a stream; ValueError if `model` is bidirectional or `features` is not `torch_features`."""
        config = model.config
        if config.block_frames is None:
            raise ValueError(
                "streaming: this speech tokenizer is bidirectional (quantize_causal_block_size=null): every code waits "
                "for the end of the clip; use one trained with bottleneck.block_seconds"
            )
        if config.floor_blocks is None:
            raise ValueError(
                f"streaming: log_mel_floor={config.log_mel_floor or 'null'} is the clip's floor, known at its end; "
                'set "log_mel_floor": "block" in config.json, which changes the codes of silence before speech'
            )
        if features is not torch_features:
            raise ValueError("streaming: features must be torch's, the only ones that work by block; load with them")
        self.config = config
        self.codes = BlockEncoder(model.encoder)
        self.frames = BlockLogMel(
            num_mel_bins=config.num_mel_bins, blocks=config.floor_blocks, device=model.encoder.codebook.weight.device
        )
        self.num_samples = 0
        """Number of samples received so far."""
        self.finished = False

    @property
    def held_bytes(self) -> int:
        """Bytes of the state between chunks; they do not grow with the stream."""
        return self.codes.held_bytes + self.frames.pending_N.nbytes

    def push(self, samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        """Add mono float samples [N]; returns the codes int32 of the blocks that they complete. N may be 0.

        Raises ValueError for unusable samples; the stream is then unchanged.
        """
        return _joined(self.blocks(samples, sample_rate=sample_rate))

    def blocks(self, samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
        """As `push`, but yields each block once it is computed; samples enter the stream during the iteration."""
        self._check_open()
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"{self._place}: sample_rate={sample_rate} must be {SAMPLE_RATE}; resample the audio")
        if samples.ndim != 1:
            raise ValueError(f"{self._place}: shape {samples.shape} is not one channel; take the first channel")
        if not np.issubdtype(samples.dtype, np.floating):
            raise ValueError(f"{self._place}: dtype {samples.dtype} is not float; divide 16-bit samples by 32768")
        if not samples.size:
            return iter(())
        waveform = torch.from_numpy(checked_waveform(samples, name=self._place)).to(self.frames.pending_N.device)
        return self._take(waveform)

    def finish(self) -> np.ndarray:
        """End the stream; returns the codes int32 of the remaining samples, padded with silence to a whole code."""
        return _joined(self.end())

    def end(self) -> Iterator[np.ndarray]:
        """As `finish`, but yields each block once it is computed."""
        self._check_open()
        self.finished = True
        return self._end_clip()

    def _take(self, waveform_N: torch.Tensor) -> Iterator[np.ndarray]:
        for piece in self._pieces(waveform_N):
            self.num_samples += len(piece)
            for mel_MF in self.frames.push(piece):
                yield _array(self.codes.step(mel_MF))
            if self.frames.num_samples == self.config.max_samples:
                yield from self._end_clip()

    def _pieces(self, waveform_N: torch.Tensor) -> Iterator[torch.Tensor]:
        """Cut the samples where the position table ends."""
        while len(waveform_N):
            room = self.config.max_samples - self.frames.num_samples
            yield waveform_N[:room]
            waveform_N = waveform_N[room:]

    def _end_clip(self) -> Iterator[np.ndarray]:
        spoken = -(-self.frames.num_samples // HOP)
        blocks = list(self.frames.finish(self.config.rates.samples_per_token))
        for index, mel_MF in enumerate(blocks):
            yield _array(self.codes.step(mel_MF, spoken=spoken if index == len(blocks) - 1 else None))
        self.frames.reset()
        self.codes.reset()

    def _check_open(self) -> None:
        if self.finished:
            raise ValueError("streaming: this stream is finished; make a new one")

    @property
    def _place(self) -> str:
        return f"streaming: chunk at {self.num_samples / SAMPLE_RATE:g} s"


def _array(codes_T: torch.Tensor) -> np.ndarray:
    return codes_T.cpu().numpy().astype(np.int32)


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int32), *blocks])
