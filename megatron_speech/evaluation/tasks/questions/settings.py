"""Settings of the task `questions`, and the ways to ask that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from megatron_speech.evaluation.tasks.questions.items import KEY
from megatron_speech.evaluation.tasks.questions.ways import GIVEN, Manner, Way
from megatron_speech.evaluation.tasks.settings import RecordingSettings, SpeakingSettings, require_positive
from megatron_speech.metrics.answer_matching import RULES
from megatron_speech.sequences.streaming_thoughts import RATIO, require_pairs


@dataclass(frozen=True, kw_only=True)
class QuestionsSettings(RecordingSettings, SpeakingSettings):
    """How questions are asked, answered and judged."""

    answers: tuple[Manner, ...] = ("text",)
    """Manners of answering, each generated for itself: text, speech, or thoughts, which is both in one answer."""
    matcher: str = "words_in_order"
    """Rule that decides whether an answer is right; the scores of all rules are given."""
    restricted: bool = False
    """Ask for every answer with text once more, with text tokens in the script of `language` only."""
    before: str = ""
    """Text before each question."""
    after: str = ""
    """Text between each question and its answer."""
    until: tuple[str, ...] = ("\n",)
    """Texts that end an answer in text, such as the end of its line; they are no part of it."""
    max_text_tokens: int = 40
    """Largest number of tokens of a written answer; thoughts have as many besides those of speech."""
    ratio: tuple[int, ...] = RATIO
    """Text and speech tokens that take turns in thoughts, as the model was trained; the last pair repeats."""
    enclosed: bool = False
    """Whether each run of speech in thoughts has a begin and an end of audio, as the model was trained."""
    key: ClassVar[str] = KEY

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.matcher not in RULES:
            raise ValueError(f"{KEY}.matcher={self.matcher} is unknown; the matchers are {', '.join(RULES)}")
        if not self.answers or len({*self.answers}) < len(self.answers):
            raise ValueError(f"{KEY}.answers={list(self.answers)} must name text, speech or thoughts once; correct it")
        if "" in self.until:
            raise ValueError(
                f"{KEY}.until={list(self.until)} holds an empty text, which would end all answers; drop it"
            )
        if self.sound and not self.hears:
            raise ValueError(
                f"{KEY}.sound judges speech, but answers={list(self.answers)} have none; add speech, or drop sound"
            )
        if self.sound and self.sound.speaker_encoder:
            raise ValueError(
                f"{KEY}.sound.speaker_encoder={self.sound.speaker_encoder}: questions ask for nobody's voice; drop it"
            )
        require_positive(KEY, max_text_tokens=self.max_text_tokens)
        require_pairs(self.ratio, enclosed=self.enclosed, key=f"{KEY}.ratio")

    @property
    def ways(self) -> list[Way]:
        """All ways to ask."""
        free = [Way(given, asked) for asked in self.answers for given in GIVEN]
        again = [Way(way.given, way.asked, self.language) for way in free if "text" in way.parts and self.restricted]
        return free + again

    @property
    def hears(self) -> bool:
        """Whether answers have speech."""
        return self.answers != ("text",)

    @property
    def limits(self) -> dict[str, int]:
        """The settings whose sum is the most codes of an answer: in thoughts, all tokens may be speech."""
        speech = {"max_speech_tokens": self.max_speech_tokens}
        return {"max_text_tokens": self.max_text_tokens, **speech} if "thoughts" in self.answers else speech
