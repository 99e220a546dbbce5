"""Ways to ask a question and to answer it, the ids of the prompt of each, and how the answer is generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatron_speech.evaluation.scripts import ScriptLanguage
from megatron_speech.evaluation.tasks.interface import Scorer
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.sequences.speech_tasks import speech_ids
from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Modality

GIVEN: tuple[Modality, ...] = ("text", "speech")
Manner = Literal["text", "speech", "thoughts"]
"""What an answer is made of; thoughts are text and speech in turns."""
PARTS: dict[Manner, tuple[Modality, ...]] = {"text": ("text",), "speech": ("speech",), "thoughts": ("text", "speech")}


@dataclass(frozen=True)
class Way:
    """How questions are asked and answered."""

    given: Modality
    asked: Manner
    language: ScriptLanguage | None = None
    """Language to whose script text is restricted."""

    @property
    def name(self) -> str:
        """Name of its group of prompts."""
        return f"{self.given}->{self.asked}{self._restricted}"

    @property
    def parts(self) -> tuple[Modality, ...]:
        """Modalities of its answers, each of which is judged."""
        return PARTS[self.asked]

    def pair(self, part: Modality) -> str:
        """Name of a part of its answers in records and results."""
        turns = " in thoughts" if self.asked == "thoughts" else ""
        return f"{self.given}->{part}{turns}{self._restricted}"

    @property
    def _restricted(self) -> str:
        return f" restricted to {self.language}" if self.language else ""


def question_prompt(model: Scorer, question: SpokenText, way: Way, *, before: str, after: str) -> list[int]:
    """Ids that lead to an answer. Speech that is answered in speech stays open, unless text comes between."""
    vocabulary, encode = model.vocabulary, model.tokenizer.encode
    begin, end = (vocabulary.special_id(token) for token in (BEGIN_OF_AUDIO, END_OF_AUDIO))
    start = [*vocabulary.begin_of_document]
    answer = [begin] if way.asked == "speech" else []
    if way.given == "text":
        return [*start, *encode(before + question.text + after), *answer]
    assert question.codes is not None, f"no speech of {question.text[:40]!r}"
    speech = speech_ids(question.codes, vocabulary=vocabulary).tolist()
    opened = [*start, *encode(before), begin, *speech]
    return opened if answer and not after else [*opened, end, *encode(after), *answer]
