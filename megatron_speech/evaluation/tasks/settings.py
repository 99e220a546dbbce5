"""Settings that several evaluation tasks have, each in one place; a task inherits those that concern it.

DataSetSettings          sets, speech_tokenizer, max_items
+- RecordingSettings     cache
+- AnsweringSettings     language, batch_size
+- SpeakingSettings   max_speech_tokens, temperature, top_p, seed
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import Item
from megatron_speech.evaluation.data_sets.table import read_items
from megatron_speech.evaluation.scripts import SCRIPTS, ScriptLanguage
from megatron_speech.evaluation.tasks.spoken_items import passage_encoder
from megatron_speech.inference.sampling import Sampling
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class SoundSettings:
    """What makes sound of spoken answers, and what judges it."""

    speech_decoder: Path
    """Folder of a speech decoder for the codes of the model's speech tokenizer."""
    vocoder: Path
    """Folder of its vocoder."""
    whisper: Path | None = None
    """Folder of a Whisper model that reads the sound as well; null leaves it to the recogniser."""
    dnsmos: Path | None = None
    """ONNX file of DNSMOS, which rates how the sound is; null leaves it unrated."""
    speaker_encoder: Path | None = None
    """Folder of a speaker encoder, which compares voices with those of prompts; null compares none."""

    def __post_init__(self) -> None:
        if self.whisper is None and self.dnsmos is None:
            raise ValueError(
                "whisper and dnsmos are both missing, so nothing judges the sound; name one, or drop sound"
            )

    @property
    def paths(self) -> list[Path]:
        """All that it names."""
        named = (self.speech_decoder, self.vocoder, self.whisper, self.dnsmos, self.speaker_encoder)
        return [path for path in named if path is not None]


@dataclass(frozen=True, kw_only=True)
class DataSetSettings:
    """Settings of a task that reads data sets."""

    sets: dict[str, DataSetConfig]
    """Data sets, by the name under which they are reported."""
    speech_tokenizer: Path | None = None
    """Folder of the model's speech tokenizer; needed for recordings, and for answers in speech."""
    max_items: int | None = None
    """Use only the first max_items items of each set; null uses all."""
    key: ClassVar[str]
    """Path of the task's section, for messages."""
    lists_records: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(self.key, max_items=self.max_items)

    @property
    def inputs(self) -> list[Path]:
        """Files and artifacts that the results depend on."""
        own = [self.speech_tokenizer] if self.speech_tokenizer else []
        return [*own, *(path for data_set in self.sets.values() for path in data_set.paths)]

    def read(self) -> Iterator[tuple[str, Item]]:
        """Yield (name of the set, item) of all sets. Raises ValueError without a set, or for a defective file."""
        if not self.sets:
            raise ValueError(f"{self.key}.sets is empty; name a data set with its layout and folder")
        for name, data_set in self.sets.items():
            yield from ((name, item) for item in islice(read_items(data_set), self.max_items))


@dataclass(frozen=True, kw_only=True)
class RecordingSettings(DataSetSettings):
    """Settings of a task that gives recordings to the model."""

    cache: Path | None = None
    """Folder that keeps the codes of recordings; null encodes them anew."""

    def encoder(self, vocabulary: Vocabulary) -> PassageEncoder | None:
        """Encoder of recordings, None without a speech tokenizer; ValueError if it is not that of `vocabulary`."""
        return passage_encoder(self.speech_tokenizer, self.cache, vocabulary, key=f"{self.key}.speech_tokenizer")


@dataclass(frozen=True, kw_only=True)
class AnsweringSettings(DataSetSettings):
    """Settings of a task that lets the model answer."""

    language: ScriptLanguage = "en"
    """Language of the answers: en or zh. Answers that are mostly in another script are wrong."""
    batch_size: int = 16
    """Answers that are written at a time. No answer depends on it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self.key, batch_size=self.batch_size)
        if self.language not in SCRIPTS:
            raise ValueError(f"{self.key}.language={self.language} is unknown; the languages are {', '.join(SCRIPTS)}")


@dataclass(frozen=True, kw_only=True)
class SpeakingSettings(AnsweringSettings):
    """Settings of a task that lets the model speak."""

    max_speech_tokens: int = 200
    """Largest number of tokens of speech; 200 at 12.5 per second are 16 s."""
    temperature: float = 0.8
    """Temperature of sampled speech; 0 is greedy."""
    top_p: float = 0.95
    """Nucleus (top-p) of sampled speech."""
    seed: int = 0
    """Seed of sampled speech."""
    sound: SoundSettings | None = None
    """Makes sound of spoken answers, for Whisper to read and DNSMOS to rate; null judges their codes only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self.key, max_speech_tokens=self.max_speech_tokens)
        if self.temperature < 0:
            raise ValueError(f"{self.key}.temperature={self.temperature} must not be negative; 0 is greedy")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"{self.key}.top_p={self.top_p} must lie in (0, 1]; 1 keeps every token")

    @property
    def inputs(self) -> list[Path]:
        """Those of the data sets, and what makes and judges sound."""
        return [*super().inputs, *(self.sound.paths if self.sound else [])]

    @property
    def sampling(self) -> Sampling:
        """How speech is sampled."""
        return Sampling(temperature=self.temperature, top_p=self.top_p)


def require_positive(key: str, **values: int | None) -> None:
    """Raise ValueError for a setting of the task `key` that is below 1; None passes."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"{key}.{name}={value} must be at least 1; use a positive number")
