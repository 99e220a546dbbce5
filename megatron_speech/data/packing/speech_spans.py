"""Where speech lies in a run of tokens: a span is a run of speech ids with its begin and end of audio.

Spans never reach over a document's end. Rows overlap by one token (the last label of one, the first input of the next),
so a row may end at any token but those inside a span: at the first one the whole span belongs to the next row, at the
last one to this row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Vocabulary

Ints = NDArray[np.int64]


def speech_spans(words: NDArray[np.int32], begin: Ints, vocabulary: Vocabulary) -> tuple[Ints, Ints]:
    """First and last token of each speech span, in order, both [M].

    Args:
        words: documents end to end, [T].
        begin: first token of each document.
    """
    speech = vocabulary.speech_mask(words)
    edge = np.zeros(len(words) + 1, bool)  # no run reaches over these
    edge[begin], edge[-1] = True, True
    first = np.flatnonzero(speech & (edge[:-1] | ~np.roll(speech, 1)))  # what wraps around stands at an edge
    last = np.flatnonzero(speech & (edge[1:] | ~np.roll(speech, -1)))
    opened = ~edge[first] & (words[first - 1] == _special(vocabulary, BEGIN_OF_AUDIO))
    closed = ~edge[last + 1] & (words.take(last + 1, mode="clip") == _special(vocabulary, END_OF_AUDIO))
    return first - opened, last + closed


def count_inside(words: NDArray[np.int32], cuts: Ints, vocabulary: Vocabulary) -> int:
    """How many of `cuts` lie inside a speech span; each is a token of `words` that ends a row within its document."""
    cuts = cuts[vocabulary.speech_mask(words[cuts])]
    before, after = words[cuts - 1], words[cuts + 1]
    begun = vocabulary.speech_mask(before) | (before == _special(vocabulary, BEGIN_OF_AUDIO))
    goes_on = vocabulary.speech_mask(after) | (after == _special(vocabulary, END_OF_AUDIO))
    return int((begun & goes_on).sum())


def _special(vocabulary: Vocabulary, token: str) -> int:
    """The id of a special token, or -1, which no token is."""
    return vocabulary.special_id(token) if token in vocabulary.special_tokens else -1
