"""Facts of evaluations, samples and decoded speech (kinds ``evaluation``, ``samples``, ``decoded_speech``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import ABSENT, KEY, Absent, Record


@dataclass(frozen=True, kw_only=True)
class ClozeFacts(Record):
    """Accuracy of cloze tasks, by modality pair such as ``text->speech``."""

    topic: dict[str, EstimateFacts] = field(metadata={KEY: "WikiTopicCloze"})
    """Against an ending of any other article."""
    same_topic: dict[str, EstimateFacts] = field(metadata={KEY: "WikiSameTopicCloze"})
    """Against an ending of an article of the same topic."""
    chance: float
    """Accuracy of guessing."""
    score: str
    """Score by which an answer is chosen."""


@dataclass(frozen=True, kw_only=True)
class GeoQaFacts(Record):
    """Accuracy of questions on capitals, by group: ``written_only`` or ``spoken``."""

    chance: float
    """Accuracy of guessing."""
    score: str
    """Score by which an answer is chosen."""
    asked_in_writing: dict[str, EstimateFacts] = field(metadata={KEY: "text->text"})
    """Questions asked in writing."""
    asked_aloud: dict[str, EstimateFacts] = field(metadata={KEY: "speech->text"})
    """Questions asked aloud."""


@dataclass(frozen=True, kw_only=True)
class LossFacts(EstimateFacts):
    """A loss in nats per token, with its interval over documents."""

    tokens: int
    """Tokens scored."""


@dataclass(frozen=True, kw_only=True)
class HeldOutFacts(Record):
    """Losses on one source of held-out documents; absent for a modality that it does not have."""

    documents: int
    """Documents scored."""
    text: LossFacts | None = None
    """Loss of text and special ids."""
    speech: LossFacts | None = None
    """Loss of speech ids."""


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts(Record):
    """Results of an evaluation; tasks that did not run are absent."""

    model: str
    """Path of the model."""
    cloze: ClozeFacts | None = None
    """Cloze tasks."""
    geo_qa: GeoQaFacts | None = None
    """Questions on capitals."""
    held_out: dict[str, HeldOutFacts]
    """Held-out losses by source."""
    dtype: str
    """Number format of the weights."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResults(Record):
    """Results of an evaluation as it writes them, for any tasks; reports read them as `EvaluationFacts`."""

    by_task: dict[str, Any]
    """Plain JSON by task, with model and dtype."""

    def to_json(self) -> dict[str, Any]:
        """The results themselves."""
        return self.by_task


@dataclass(frozen=True, kw_only=True)
class WrittenSample(Record):
    """Outputs of a model for one utterance, an entry of ``samples.json``."""

    id: str
    """Key of the utterance."""
    spoken: str
    """Its text."""
    continuation: str
    """Text that continues the utterance."""
    recognition: str
    """Text that was recognised."""
    codes: tuple[int, ...]
    """Speech codes that were written for its text: int [T]."""
    speech_ended: bool
    """Whether they ended by themselves."""
    spoken_text_as_heard: str | Absent | None = ABSENT
    """What a recogniser hears in the codes; null without codes, absent without a recogniser."""


@dataclass(frozen=True, kw_only=True)
class SampleFacts(Record):
    """Outputs of a model for one utterance, with the number of codes."""

    id: str
    """Key of the utterance."""
    spoken: str
    """Its text."""
    continuation: str
    """Text that continues the utterance."""
    recognition: str
    """Text that was recognised."""
    codes: int
    """Speech codes that were written for its text."""
    speech_ended: bool
    """Whether they ended by themselves."""
    spoken_text_as_heard: str | Absent | None = ABSENT
    """What a recogniser hears in the codes; null without codes, absent without a recogniser."""


@dataclass(frozen=True, kw_only=True)
class SamplesFacts(Record):
    """Samples of a model."""

    samples: tuple[SampleFacts, ...]
    """One per utterance."""


@dataclass(frozen=True, kw_only=True)
class HeardFacts(Record):
    """Measures on WAV files."""

    wer: float
    """Word error rate, a fraction."""
    cer: float
    """Character error rate, a fraction."""
    words: int
    """Words said."""
    dnsmos: float
    """Mean opinion score by DNSMOS, 1 to 5."""


@dataclass(frozen=True, kw_only=True)
class DecodedSpeechFacts(Record):
    """Speech decoded from tokens; without a vocoder, all other fields are absent."""

    vocoder: Literal["present", "absent"]
    """Whether the vocoder's weights are installed."""
    utterances: int | None = None
    """Utterances decoded."""
    recognizer: str | None = None
    """Name of the recogniser."""
    original: HeardFacts | None = None
    """The recordings."""
    resynthesis: HeardFacts | None = None
    """The recordings, through tokens and back."""
    generated: tuple[str, ...] | None = None
    """WAV files of codes that a model wrote, if any were given."""
