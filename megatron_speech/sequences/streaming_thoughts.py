"""The layout of answers that are written and spoken at once ("streaming thoughts", arXiv 2411.17607).

    13 text ids, 26 speech ids, 13 text ids, 26 speech ids, ...

Text and speech alternate in the numbers of `ratio`, whose last pair repeats. The text runs ahead of the speech, and a
listener hears the first words after one block of each. Where text or speech has ended, the rest of the other follows.
At 13 text ids per 26 speech ids and usual speed, the text ends first and its speech goes on.

GLM-4-Voice writes the ids bare. With `enclosed`, each run of speech stands between the begin and the end of audio, as
in interleaved documents. These two ids count as speech, as in VITA-Audio: 26 are 24 codes and two bounds.

>>> from megatron_speech.vocabulary import Vocabulary
>>> layout = StreamingThoughts(ratio=(2, 3), vocabulary=Vocabulary(num_text_ids=100, num_speech_ids=50))
>>> ids = layout.join([1, 2, 3], [110, 111, 112, 113, 114])
>>> ids, layout.split(ids)
([1, 2, 110, 111, 112, 3, 113, 114], ([1, 2, 3], [110, 111, 112, 113, 114]))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Vocabulary

RATIO = (13, 26)
"""Text and speech ids of a block in the paper."""
BOUNDS = 2
"""Ids of an enclosed run of speech that are no codes."""


@dataclass(frozen=True, kw_only=True)
class StreamingThoughts:
    """How the text ids and the speech ids of an answer become one sequence, and two again."""

    vocabulary: Vocabulary
    ratio: tuple[int, ...] = RATIO
    """Text and speech ids of the first block, of the second, ...; the last pair repeats."""
    enclosed: bool = False
    """Put each run of speech between the begin and the end of audio, which count as speech ids."""

    def __post_init__(self) -> None:
        require_pairs(self.ratio, enclosed=self.enclosed, key="ratio")

    def join(self, text: Sequence[int], speech: Sequence[int]) -> list[int]:
        """One sequence of both; ValueError if `text` holds ids that are no text, or `speech` ids that are no speech."""
        text, speech, joined = [*text], [*speech], []
        if self.split(text) != (text, []) or self.split(speech) != ([], speech):
            raise ValueError("the text holds ids that are no text, or the speech ids that are no speech; part them")
        for num_text, num_speech in self._blocks():
            num_text = num_text if speech else len(text)
            joined += text[:num_text]
            del text[:num_text]
            num_speech = num_speech if text else len(speech)
            joined += self._run(speech[:num_speech])
            del speech[:num_speech]
            if not text and not speech:
                break
        return joined

    def split(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Text ids and speech ids of an answer, in order; the inverse of `join`.

        It reads answers that do not keep the layout, too. Ids that are neither, such as the begin of audio, are left
        out, and so is the end of the document.
        """
        given = np.asarray(ids, dtype=np.int64)
        text = self.vocabulary.text_mask(given) & (given != self.vocabulary.end_of_document)
        return given[text].tolist(), given[self.vocabulary.speech_mask(given)].tolist()

    def is_kept(self, ids: Sequence[int]) -> bool:
        """Whether an answer that has ended has the layout."""
        return self.join(*self.split(ids)) == list(ids)

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Text ids and codes of each block, without end."""
        bounds = BOUNDS if self.enclosed else 0
        pairs = [(text, speech - bounds) for text, speech in zip(self.ratio[::2], self.ratio[1::2], strict=True)]
        return chain(pairs, repeat(pairs[-1]))

    def _run(self, speech: list[int]) -> list[int]:
        if not self.enclosed or not speech:
            return speech
        begin, end = (self.vocabulary.special_id(token) for token in (BEGIN_OF_AUDIO, END_OF_AUDIO))
        return [begin, *speech, end]


def require_pairs(ratio: Sequence[int], *, enclosed: bool, key: str) -> None:
    """Raise ValueError unless `ratio`, the setting `key`, is a list of pairs that `StreamingThoughts` can lay out."""
    least = BOUNDS + 1 if enclosed else 1
    if not ratio or len(ratio) % 2 or min(ratio[::2]) < 1 or min(ratio[1::2]) < least:
        raise ValueError(
            f"{key}={list(ratio)} must be pairs of text and speech ids, at least 1 and {least}; {list(RATIO)} is the "
            "paper's"
        )
