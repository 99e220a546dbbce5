"""Word error rates of held-out speech during training: from codes, and once by Whisper itself, the bound.

Ranks divide the utterances. Price: greedy search costs about as much as a training step per minute of speech, and a
hundred utterances have a wide interval; the report (tools/tokenizer_report.py) measures properly.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.audio.transcripts import error_rates
from megatron_speech.config.speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.platform.device import device
from megatron_speech.speech_tokenizer.batching import windows
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, TextSide, load_model
from megatron_speech.speech_tokenizer.tokenizer import SpeechTokenizer
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer
from megatron_speech.speech_tokenizer_training.ranks import divided

TOGETHER = 16
"""Utterances that a rank reads at a time."""


class Validation:
    """Held-out utterances by name of their set; empty without any."""

    def __init__(self, config: TrainSpeechTokenizerConfig, text: TextSide) -> None:
        self._text = text
        self.sets = {
            name: list(islice(read_audio_shards(folder), config.validation_utterances))
            for name, folder in config.validation.items()
        }
        if self.sets:
            # Before hours of training: the package may be missing, the transcripts empty.
            for records in self.sets.values():
                error_rates([record.text for record in records], [record.text for record in records])

    def from_codes(self, model: SpeechRecognitionModel) -> dict[str, float]:
        """Word error rate of each set, read from codes; `model` is left in evaluation mode. Collective."""
        tokenizer = SpeechTokenizer(model, self._text, fingerprint="in training")

        def read(waveforms: list[np.ndarray], names: list[str]) -> list[str]:
            return tokenizer.recognize(tokenizer.encode(waveforms, names=names))

        return self._rates(read)

    def by_whisper(self, folder: Path) -> dict[str, float]:
        """Word error rate of each set, read by the Whisper model in `folder`. Collective."""
        recognizer = WhisperRecognizer(load_model(folder).to(device()), self._text)

        def read(waveforms: list[np.ndarray], names: list[str]) -> list[str]:
            return recognizer.transcribe(waveforms, names=names)

        return self._rates(read)

    def _rates(self, read: Callable[[list[np.ndarray], list[str]], list[str]]) -> dict[str, float]:
        def texts(records: list[AudioRecord]) -> list[str]:
            return read([record.waveform for record in records], [record.name for record in records])

        rates = {}
        for name, records in self.sets.items():
            heard = [text for part in divided(list(windows(records, TOGETHER)), texts) for text in part]
            rates[name] = round(error_rates([record.text for record in records], heard)["wer"], 5)
        return rates
