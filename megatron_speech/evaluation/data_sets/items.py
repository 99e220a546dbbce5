"""Items of evaluation data sets, whatever their layout: choices, questions, transcripts and texts to say.

A recording stays as its publisher keeps it: a file, or the bytes of a table or tar. Bytes live as long as their item.
Recordings of the user's own may be codes already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.recording import Recording

REASONS = {"zero length": "empty"}
"""Reasons of `AudioError` under another name; all others keep theirs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedRecording:
    """A recording that a speech tokenizer has read before."""

    codes: np.ndarray
    """Codes, int32 [T]."""
    speech_tokenizer: str
    """Fingerprint of the speech tokenizer."""
    place: str
    """Where it lies, for messages."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text, its recording, or both."""

    text: str | None = None
    recording: Path | bytes | EncodedRecording | None = None
    """None if the item is only written, or if `defect` says that the recording is missing."""
    defect: str | None = None
    """Why the recording cannot be used, in a word or two: ``missing``, ``empty``, ``cut short``, ..."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question to a model; subclasses say of which kind."""

    id: str
    """Unique within the data set."""
    subset: str = ""
    """Part of the data set, such as a task or a country; empty if it has none."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Other cells of the item as its publisher wrote them."""

    @property
    def passages(self) -> tuple[Passage, ...]:
        """All its passages."""
        return ()

    @property
    def defect(self) -> str | None:
        """First defect of its recordings; such an item counts as wrong, with this reason."""
        return next((passage.defect for passage in self.passages if passage.defect), None)

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is written or said in it, as far as it is known."""
        return tuple(passage.text for passage in self.passages if passage.text)


@dataclass(frozen=True, kw_only=True)
class ChoiceItem(Item):
    """Which of several passages is right?"""

    context: Passage | None = None
    """What comes before each candidate; None if the candidates hold it."""
    candidates: tuple[Passage, ...]
    right: int
    """Place of the right candidate, from 0."""

    @property
    def passages(self) -> tuple[Passage, ...]:
        """Context and candidates."""
        return (*([self.context] if self.context else []), *self.candidates)


@dataclass(frozen=True, kw_only=True)
class QuestionItem(Item):
    """A question that a model answers in its own words."""

    question: Passage
    answers: tuple[str, ...] = ()
    """Accepted answers; none if only a judge can tell."""

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The question."""
        return (self.question,)

    @property
    def texts(self) -> tuple[str, ...]:
        """The question, with the answers."""
        return (*super().texts, *self.answers)


@dataclass(frozen=True, kw_only=True)
class TranscriptItem(Item):
    """A recording to recognise, with its transcript."""

    speech: Passage

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The recording."""
        return (self.speech,)


@dataclass(frozen=True, kw_only=True)
class SayItem(Item):
    """A text to say in the voice of a prompt."""

    text: str
    prompt: Passage
    reference: Passage | None = None
    """The text as the voice's owner said it, if the data set has it."""

    @property
    def passages(self) -> tuple[Passage, ...]:
        """Prompt and reference."""
        return (self.prompt, *([self.reference] if self.reference else []))

    @property
    def texts(self) -> tuple[str, ...]:
        """The text, with those of the recordings."""
        return (self.text, *super().texts)


def spoken(recording: Path | bytes | None, text: str | None = None) -> Passage:
    """A passage with this recording, whose defect is found by opening it; None is a missing recording."""
    if recording is None or (isinstance(recording, Path) and not recording.is_file()):
        return Passage(text=text, defect="missing")
    try:
        with Recording(recording) as opened:
            defect = None if opened.num_frames else "empty"
    except AudioError as error:
        defect = REASONS.get(error.reason, error.reason)
    return Passage(text=text, recording=recording, defect=defect)
