"""Measures word error rates on held-out speech: from codes during training, and once with Whisper for comparison.

Ranks divide the utterances. Cost: greedy search of a minute of speech takes about as long as a training step on it.
Limitation: a hundred utterances give a wide confidence interval; `tokenizer_report` measures on more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.grouping import grouped
from megatron_speech.metrics.word_errors import error_rates
from megatron_speech.parallel.agree import divided, on_every_rank
from megatron_speech.platform.device import device
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, TextSide, load_model
from megatron_speech.speech_tokenizer.whisper import TAIL_S, WhisperRecognizer
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer

logger = logging.getLogger(__name__)

TOGETHER = 16
"""Utterances that a rank recognises at a time."""


class Validation:
    """Held-out utterances by validation set; `sets` is empty if none is configured."""

    def __init__(self, config: TrainSpeechTokenizerConfig, text: TextSide, max_samples: int) -> None:
        self._text = text
        # Both recognisers get the same utterances, so Whisper's limit with its tail applies.
        longest = max_samples - int(TAIL_S * SAMPLE_RATE)
        self.sets = {
            name: on_every_rank(partial(_held_out, name, folder, config.validation_utterances, longest))
            for name, folder in config.validation.items()
        }

    def from_codes(self, model: SpeechRecognitionModel) -> dict[str, float]:
        """Word error rate of each set, from codes. Leaves `model` in evaluation mode. Collective."""
        tokenizer = WhisperVQTokenizer(model, self._text, fingerprint="in training")

        def read(waveforms: list[np.ndarray], names: list[str]) -> list[str]:
            return tokenizer.recognize(tokenizer.encode(waveforms, names=names))

        return self._rates(read)

    def by_whisper(self, folder: Path) -> dict[str, float]:
        """Word error rate of each set, by the Whisper model in `folder`. Collective."""
        recognizer = WhisperRecognizer(on_every_rank(lambda: load_model(folder)).to(device()), self._text)

        def read(waveforms: list[np.ndarray], names: list[str]) -> list[str]:
            return recognizer.transcribe(waveforms, names=names)

        return self._rates(read)

    def _rates(self, read: Callable[[list[np.ndarray], list[str]], list[str]]) -> dict[str, float]:
        def texts(records: list[AudioRecord]) -> list[str]:
            return read([record.waveform for record in records], [record.name for record in records])

        rates = {}
        for name, records in self.sets.items():
            heard = [text for part in divided(list(grouped(records, TOGETHER)), texts) for text in part]
            rates[name] = round(error_rates([record.text for record in records], heard)["wer"], 5)
        return rates


def _held_out(name: str, folder: Path, count: int, longest: int) -> list[AudioRecord]:
    """Read the first `count` utterances of at most `longest` samples.

    Raises ValueError if none is left, the transcripts are empty, or the package for word error rates is missing.
    Training must not fail on these hours later.
    """
    passed = 0
    records: list[AudioRecord] = []
    for record in read_audio_shards(folder):
        if len(record.waveform) > longest:
            passed += 1
            continue
        records.append(record)
        if len(records) == count:
            break
    if passed:
        logger.warning(
            "validation.%s: %d utterances above %g s left out: Whisper does not take them at once",
            name,
            passed,
            longest / SAMPLE_RATE,
        )
    if not records:
        raise ValueError(
            f"validation.{name}={folder}: no utterance of {longest / SAMPLE_RATE:g} s or less; leave it out"
        )
    error_rates([record.text for record in records], [record.text for record in records])
    return records
