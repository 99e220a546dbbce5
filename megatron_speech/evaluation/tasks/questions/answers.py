"""Reads what the model answered: its text, and its speech by one recogniser or two.

Of one answer in thoughts, text and speech are read apart. Everything that is read of an answer is judged for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from megatron_speech.evaluation.tasks.hearing import AnswerTexts, read_speech
from megatron_speech.evaluation.tasks.interface import Scorer, Written
from megatron_speech.evaluation.tasks.questions.settings import QuestionsSettings
from megatron_speech.evaluation.tasks.questions.ways import Way
from megatron_speech.sequences.streaming_thoughts import StreamingThoughts

LAYOUT_KEPT = "layout_kept"
"""Key of records of the text of thoughts: whether an answer that ended has the layout."""


def read_answers(
    way: Way, written: Sequence[Written], settings: QuestionsSettings, model: Scorer
) -> Iterator[AnswerTexts]:
    """All that is read of the answers to a way, in a fixed order."""
    layout = StreamingThoughts(vocabulary=model.vocabulary, ratio=settings.ratio, enclosed=settings.enclosed)
    parts = [layout.split(answer.tokens) for answer in written]
    if "text" in way.parts:
        turns = way.asked == "thoughts"
        decoded = (model.tokenizer.decode(text) for text, _ in parts)
        texts = [text.strip() if turns else cut(text, settings.until) for text in decoded]
        kept = [
            {LAYOUT_KEPT: layout.is_kept(answer.tokens)} if turns and answer.reason == "stop" else {}
            for answer in written
        ]
        yield AnswerTexts(pair=way.pair("text"), texts=texts, notes=kept)
    if "speech" in way.parts:
        first = model.vocabulary.first_speech_id
        codes = [np.array(speech, dtype=np.int32) - first for _, speech in parts]
        yield from read_speech(settings, codes, pair=way.pair("speech"))


def cut(text: str, until: Sequence[str]) -> str:
    """The text before the first of `until`, without spaces around it; leading spaces and line ends do not count."""
    text = text.strip()
    return text[: min((text.index(end) for end in until if end in text), default=len(text))].strip()
