"""Questions of data sets as the model reads them: texts, and codes of recordings."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import Item, QuestionItem
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.spoken_items import passage_of
from megatron_speech.vocabulary import Modality

KEY = "tasks.questions"


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    """A question as the model reads it."""

    data_set: str
    id: str
    subset: str
    question: SpokenText
    answers: tuple[str, ...]
    """Accepted answers."""
    defect: str | None
    """Why its recording has no codes."""

    def offers(self, given: Modality) -> bool:
        """Whether it is written, or should be spoken."""
        return bool(self.question.text) if given == "text" else self.question.codes is not None or bool(self.defect)

    def is_whole(self, given: Modality) -> bool:
        """Whether it can be asked."""
        return given == "text" or self.defect is None


def asked_question(name: str, item: Item, encoder: PassageEncoder | None) -> AskedQuestion:
    """A question with the codes of its recording; ValueError for another kind of item, or without an encoder."""
    if not isinstance(item, QuestionItem):
        raise ValueError(f"{KEY}.sets.{name}: item {item.id!r} is no question; name another layout")
    question, defect = passage_of(item.question, encoder, name=name, key=KEY)
    return AskedQuestion(
        data_set=name, id=item.id, subset=item.subset, question=question, answers=item.answers, defect=defect
    )
