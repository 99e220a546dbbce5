"""Transcribes audio with Whisper in batches, without padding each clip to 30 s.

Encoder layers are called on the clips' own lengths, several times faster for short clips. Whisper was trained on speech
followed by silence and writes a clip's text twice without it. So `TAIL_S` of silence is appended. Limitations: word
error rates may differ from those of padded Whisper by about 0.1 %. A clip has at most 30 s, less the tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.grouping import batches_by_length
from megatron_speech.progress import follow
from megatron_speech.speech_tokenizer.clips import checked_clips
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, TextSide, load_model, write_text
from megatron_speech.speech_tokenizer.whisper_vq import MAX_TEXT_TOKENS_PER_SECOND

TAIL_S = 2.0
"""Seconds of silence after every clip."""


class WhisperRecognizer:
    """A Whisper model without bottleneck, which transcribes audio."""

    def __init__(self, model: SpeechRecognitionModel, text: TextSide) -> None:
        self.model, self.text = model, text

    @classmethod
    def load(cls, folder: Path, *, language: str | None = None) -> WhisperRecognizer:
        """Load a Hugging Face Whisper folder; `language` as in `TextSide`.

        Raises FileNotFoundError for a missing file, ValueError for a speech tokenizer or an unusable folder.
        """
        model = load_model(folder)
        if model.config.quantize_vocab_size is not None:
            raise ValueError(f"{folder}: a speech tokenizer, not a Whisper model; load it with WhisperVQTokenizer")
        return cls(model, TextSide(folder, model.config.vocab_size, language=language))

    @property
    def max_samples(self) -> int:
        """Samples of the longest clip, without the tail."""
        return self.model.config.max_samples - int(TAIL_S * SAMPLE_RATE)

    @torch.no_grad()
    def transcribe(
        self,
        waveforms: Sequence[np.ndarray],
        *,
        sample_rate: int = SAMPLE_RATE,
        batch_seconds: float = 60.0,
        names: Sequence[str] | None = None,
    ) -> list[str]:
        """Transcribe mono waveforms [N], in order, in batches of `batch_seconds` of padded audio.

        Raises as `checked_clips`; `names` are those of the clips.
        """
        # Clips with their tails.
        device = self.model.encoder.conv1.weight.device
        tail = torch.zeros(int(TAIL_S * SAMPLE_RATE))
        checked = checked_clips(waveforms, sample_rate=sample_rate, max_samples=self.max_samples, names=names)
        clips = [torch.cat([clip, tail]).to(device) for clip in checked]
        # Batches of similar length: encode, then search greedily.
        texts = [""] * len(clips)
        batches = batches_by_length([len(clip) for clip in clips], max_total=int(batch_seconds * SAMPLE_RATE))
        for batch in follow(batches, "recognise speech", unit="batches", late=True):
            encoder = self.model.encoder
            states_BTD, lengths_B = encoder.front(mel_batch([clips[i] for i in batch], self.model.config))
            memory_BTD = encoder.layer_norm(states_BTD)
            longest_s = max(len(clips[i]) for i in batch) / SAMPLE_RATE
            max_tokens = 8 + int(MAX_TEXT_TOKENS_PER_SECOND * longest_s)
            for index, text in zip(
                batch, write_text(self.model, self.text, memory_BTD, lengths_B, max_tokens=max_tokens), strict=True
            ):
                texts[index] = text
        return texts
