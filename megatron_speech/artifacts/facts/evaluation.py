"""Facts of evaluations, samples and decoded speech (kinds ``evaluation``, ``contamination``, ...)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import ABSENT, KEY, Absent, Record


@dataclass(frozen=True, kw_only=True)
class ClozeFacts(Record):
    """Accuracy of cloze tasks, by modality pair such as ``text->speech``."""

    topic: dict[str, EstimateFacts] = field(metadata={KEY: "WikiTopicCloze"})
    """Accuracy against endings of articles of another topic."""
    same_topic: dict[str, EstimateFacts] = field(metadata={KEY: "WikiSameTopicCloze"})
    """Accuracy against endings of articles of the same topic."""
    chance: float
    """Accuracy of guessing."""
    score: str
    """Name of the score that decides."""


@dataclass(frozen=True, kw_only=True)
class GeoQaFacts(Record):
    """Accuracy of questions on capitals, by group, such as ``written_only`` or ``spoken``."""

    chance: float
    """Accuracy of guessing."""
    score: str
    """Name of the score that decides."""
    asked_in_writing: dict[str, EstimateFacts] = field(metadata={KEY: "text->text"})
    """Accuracy on written questions."""
    asked_aloud: dict[str, EstimateFacts] = field(metadata={KEY: "speech->text"})
    """Accuracy on spoken questions."""
    written_question_spoken_answer: dict[str, EstimateFacts] | None = field(
        default=None, metadata={KEY: "text->speech"}
    )
    """Accuracy of spoken answers to written questions, if there are codes of the candidates."""
    spoken_question_spoken_answer: dict[str, EstimateFacts] | None = field(
        default=None, metadata={KEY: "speech->speech"}
    )
    """Accuracy of spoken answers to spoken questions."""


@dataclass(frozen=True, kw_only=True)
class LossFacts(EstimateFacts):
    """A loss in nats per token, with its interval over documents."""

    tokens: int
    """Tokens scored."""


@dataclass(frozen=True, kw_only=True)
class HeldOutFacts(Record):
    """Losses on one source of held-out documents; a modality without tokens is absent."""

    documents: int
    """Documents scored."""
    text: LossFacts | None = None
    """Loss of text and special ids."""
    speech: LossFacts | None = None
    """Loss of speech ids."""


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts(Record):
    """Results of an evaluation; a task that was not asked for is absent."""

    model: str
    """Path of the model."""
    cloze: ClozeFacts | None = None
    """Cloze tasks."""
    geo_qa: GeoQaFacts | None = None
    """Questions on capitals."""
    questions: dict[str, Any] | None = None
    """Results of questions that the model answers in its own words, as written: by data set and way to ask."""
    recognition: dict[str, Any] | None = None
    """Error rates of speech recognition, as written: by data set."""
    synthesis: dict[str, Any] | None = None
    """Error rates of speech synthesis, as written: by data set."""
    held_out: dict[str, HeldOutFacts]
    """Held-out losses by source."""
    dtype: str
    """Number format of the weights."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResults(Record):
    """Results of any evaluation tasks, as written; reports read them as `EvaluationFacts`."""

    by_task: dict[str, Any]
    """Results by task as plain JSON, with the keys model and dtype."""

    def to_json(self) -> dict[str, Any]:
        """The dictionary `by_task`."""
        return self.by_task


@dataclass(frozen=True, kw_only=True)
class DataSetLeaksFacts(Record):
    """Items of one data set that were searched for in training data."""

    judged: int
    """Items long enough to judge."""
    too_short: int
    """Items with too few words."""
    without_text: int
    """Items that are only heard."""
    found: int
    """Items found in training data."""
    spoken: int
    """Found items that are speech there, at least in part."""


@dataclass(frozen=True, kw_only=True)
class ContaminationFacts(Record):
    """Evaluation items in training data."""

    words: int
    """Words of training data that were read."""
    data_sets: dict[str, DataSetLeaksFacts]
    """Counts by data set."""


@dataclass(frozen=True, kw_only=True)
class WrittenSample(Record):
    """Samples that a model generated for one utterance: an entry of ``samples.json``."""

    id: str
    """Key of the utterance."""
    spoken: str
    """Its text."""
    continuation: str
    """Text that continues the utterance."""
    recognition: str
    """Text that was recognised."""
    codes: tuple[int, ...]
    """Speech codes generated for its text: int [T]."""
    speech_ended: bool
    """Whether the model ended the speech before the limit."""
    spoken_text_as_heard: str | Absent | None = ABSENT
    """Transcript of the codes; null without codes, absent without a recogniser."""


@dataclass(frozen=True, kw_only=True)
class SampleFacts(Record):
    """Samples that a model generated for one utterance, with the number of codes instead of the codes."""

    id: str
    """Key of the utterance."""
    spoken: str
    """Its text."""
    continuation: str
    """Text that continues the utterance."""
    recognition: str
    """Text that was recognised."""
    codes: int
    """Number of speech codes generated for its text."""
    speech_ended: bool
    """Whether the model ended the speech before the limit."""
    spoken_text_as_heard: str | Absent | None = ABSENT
    """Transcript of the codes; null without codes, absent without a recogniser."""


@dataclass(frozen=True, kw_only=True)
class SamplesFacts(Record):
    """Samples of a model."""

    samples: tuple[SampleFacts, ...]
    """Samples by utterance, in order."""


@dataclass(frozen=True, kw_only=True)
class HeardFacts(Record):
    """Scores of speech by a recogniser and by DNSMOS."""

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
    """Speech decoded from codes; without a vocoder, all other facts are absent."""

    vocoder: Literal["present", "absent"]
    """Whether the vocoder's weights are installed."""
    utterances: int | None = None
    """Utterances decoded."""
    recognizer: str | None = None
    """Name of the recogniser."""
    original: HeardFacts | None = None
    """Scores of the original recordings."""
    resynthesis: HeardFacts | None = None
    """Scores of speech decoded from the codes of the recordings."""
    generated: tuple[str, ...] | None = None
    """Names of WAV files of generated codes, if such codes were given."""
