"""Speech to codes while it is being spoken: chunks of any length in, each block's codes out as soon as it is heard.

The codes are those that `WhisperVQTokenizer.encode` gives for the whole clip, whatever the chunks, because both run
`blockwise`, block for block with the same shapes. The position table covers 30 s (29.92 s at 6.25 codes per second);
there the encoder starts anew, as the released code does with long audio, so an endless stream needs bounded memory: a
longer stream has the codes of such pieces. Price: a code waits for the end of its block (2 s in the paper, 4 s in the
released model; 80 ms where attention is strictly causal) and for the window of its last frame: 2.5 ms more with causal
convolutions, 12.5 ms with centred ones.
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
    """One stream of speech; make one per stream."""

    def __init__(self, model: SpeechRecognitionModel, features: Features) -> None:
        """ValueError if `model` looks ahead without end, or `features`, which compute its frames, are not torch's."""
        config = model.config
        if config.block_frames is None:
            raise ValueError(
                "streaming: this speech tokenizer is bidirectional (quantize_causal_block_size=null): every code waits "
                "for the end of the clip; use one trained with bottleneck.block_seconds"
            )
        if config.floor_blocks is None:
            raise ValueError(
                f"streaming: log_mel_floor={config.log_mel_floor or 'null'} is the clip's floor, known at its end; "
                'set "log_mel_floor": "block" in config.json; the price: silence before speech gets other codes'
            )
        if features is not torch_features:
            raise ValueError("streaming: features must be torch's, a stream's frames come by block; load with them")
        self.config = config
        self.codes = BlockEncoder(model.encoder)
        self.frames = BlockLogMel(
            num_mel_bins=config.num_mel_bins, blocks=config.floor_blocks, device=model.encoder.codebook.weight.device
        )
        self.num_samples = 0
        """Samples so far."""
        self.finished = False

    @property
    def held_bytes(self) -> int:
        """Bytes kept between chunks, whatever was heard."""
        return self.codes.held_bytes + self.frames.pending_N.nbytes

    def push(self, samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        """Codes int32 of the blocks that these mono float samples [N] complete; N may be 0.

        ValueError names samples that cannot be taken; the stream is then as it was before.
        """
        return _joined(self.blocks(samples, sample_rate=sample_rate))

    def blocks(self, samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
        """As `push`, block by block, each as soon as it is computed; the stream takes in what is iterated over."""
        self._check_open()
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"{self._place}: sample_rate={sample_rate} must be {SAMPLE_RATE}; resample the audio")
        if samples.ndim != 1:
            raise ValueError(f"{self._place}: shape {samples.shape} is not one channel; take the first channel before")
        if not np.issubdtype(samples.dtype, np.floating):
            raise ValueError(f"{self._place}: dtype {samples.dtype} is not float; divide 16-bit samples by 32768")
        if not samples.size:
            return iter(())
        waveform = torch.from_numpy(checked_waveform(samples, name=self._place)).to(self.frames.pending_N.device)
        return self._take(waveform)

    def finish(self) -> np.ndarray:
        """Codes int32 of what is left, filled with silence to a whole code; nothing can be pushed after."""
        return _joined(self.end())

    def end(self) -> Iterator[np.ndarray]:
        """As `finish`, block by block, each computed when it is iterated over."""
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
        """Cut where the position table ends."""
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
