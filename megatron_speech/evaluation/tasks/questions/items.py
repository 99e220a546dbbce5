"""Questions of data sets as the model reads them: texts, and codes of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import Item, QuestionItem
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.spoken_items import NO_TEXT, passage_of
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
    unwritten: str | None = None
    """Why it cannot be asked in writing, although others of its data set can."""

    def offers(self, given: Modality) -> bool:
        """Whether it is or should be written, or spoken."""
        if given == "text":
            return bool(self.question.text.strip()) or self.unwritten is not None
        return self.question.codes is not None or self.defect is not None

    def is_whole(self, given: Modality) -> bool:
        """Whether it can be asked."""
        return self.reason(given) is None

    def reason(self, given: Modality) -> str | None:
        """Why its answer is wrong, whatever the model says."""
        return self.unwritten if given == "text" else self.defect


def asked_question(name: str, item: Item, encoder: PassageEncoder | None) -> AskedQuestion:
    """A question with the codes of its recording; ValueError for another kind of item, or without an encoder."""
    if not isinstance(item, QuestionItem):
        raise ValueError(f"{KEY}.sets.{name}: item {item.id!r} is no question; name another layout")
    question, defect = passage_of(item.question, encoder, name=name, key=KEY)
    return AskedQuestion(
        data_set=name, id=item.id, subset=item.subset, question=question, answers=item.answers, defect=defect
    )


def with_missing_texts(items: Sequence[AskedQuestion]) -> list[AskedQuestion]:
    """The items of one data set; those without a text say so where others have one."""
    if not any(item.question.text.strip() for item in items):
        return list(items)
    return [item if item.question.text.strip() else replace(item, unwritten=NO_TEXT) for item in items]
