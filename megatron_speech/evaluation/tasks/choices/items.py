"""Choices of data sets as the model reads them: texts, and codes of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Item
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.spoken_items import NO_TEXT, passage_of
from megatron_speech.vocabulary import Modality

KEY = "tasks.choices"
Pair = tuple[Modality, Modality]
NO_CODES = np.zeros(0, np.int32)


@dataclass(frozen=True, kw_only=True)
class EncodedChoice:
    """A choice as the model reads it."""

    data_set: str
    id: str
    subset: str
    context: SpokenText | None
    """A recording that cannot be used has no codes, here and below: an empty array."""
    candidates: tuple[SpokenText, ...]
    right: int
    seconds: tuple[float | None, ...]
    """Speech of each candidate."""
    defect: str | None
    """Why a recording has no codes."""
    unwritten: str | None = None
    """Why it cannot be asked in writing, although others of its data set can."""

    def offers(self, pair: Pair) -> bool:
        """Whether it has the texts, or should have the recordings, of a modality pair."""
        given, asked = pair
        if self.context is None:
            return given == asked and all(self._is(candidate, asked) for candidate in self.candidates)
        return self._is(self.context, given) and all(self._is(candidate, asked) for candidate in self.candidates)

    def is_whole(self, pair: Pair) -> bool:
        """Whether no recording or text that the pair needs is defective."""
        return self.reason(pair) is None

    def reason(self, pair: Pair) -> str | None:
        """Why it is wrong in a modality pair, whatever the model says."""
        return (self.defect if "speech" in pair else None) or (self.unwritten if "text" in pair else None)

    def sizes(self, place: int, asked: Modality) -> dict[str, Any]:
        """Text of a candidate, and seconds of its speech where that is asked."""
        return {
            "text": self.candidates[place].text or None,
            "seconds": self.seconds[place] if asked == "speech" else None,
        }

    def _is(self, passage: SpokenText, modality: Modality) -> bool:
        if modality == "text":
            return bool(passage.text.strip()) or self.unwritten is not None
        return passage.codes is not None


def encoded_choice(name: str, item: Item, encoder: PassageEncoder | None) -> EncodedChoice:
    """A choice with the codes of its recordings; ValueError for another kind of item, or without an encoder."""
    if not isinstance(item, ChoiceItem) or len(item.candidates) != 2:
        raise ValueError(f"{KEY}.sets.{name}: item {item.id!r} is no choice between two; name another layout")
    passages = [*([item.context] if item.context else []), *item.candidates]
    found = [passage_of(passage, encoder, name=name, key=KEY) for passage in passages]
    parts = [replace(part, codes=NO_CODES) if defect else part for part, defect in found]
    rate = encoder.facts.frame_rate if encoder else 1.0
    candidates = tuple(parts[-2:])
    return EncodedChoice(
        data_set=name,
        id=item.id,
        subset=item.subset,
        context=parts[0] if item.context else None,
        candidates=candidates,
        right=item.right,
        seconds=tuple(None if part.codes is None else len(part.codes) / rate for part in candidates),
        defect=next((defect for _, defect in found if defect), None),
    )


def with_missing_texts(items: Sequence[EncodedChoice]) -> list[EncodedChoice]:
    """The items of one data set; those that lack a text where others have one say so."""
    texts = [[part and part.text.strip() for part in (item.context, *item.candidates)] for item in items]
    usual = [any(column) for column in zip(*texts, strict=True)]
    lacking = [any(there and here == "" for there, here in zip(usual, row, strict=True)) for row in texts]
    return [replace(item, unwritten=NO_TEXT) if lacks else item for item, lacks in zip(items, lacking, strict=True)]
