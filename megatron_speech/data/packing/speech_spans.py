"""Finds speech spans in a stream of tokens: runs of speech ids with their begin and end of audio.

A span never crosses the end of a document. Rows overlap by one token: the last label of one row is the first input of
the next. So a row may end at any token outside a span. If it ends at the span's first token, the whole span belongs to
the next row; at its last token, to this row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megatron_speech.vocabulary import BEGIN_OF_AUDIO, END_OF_AUDIO, Vocabulary

Ints = NDArray[np.int64]


def speech_spans(tokens: NDArray[np.int32], begin: Ints, vocabulary: Vocabulary) -> tuple[Ints, Ints]:
    """First and last token of each speech span, in order, both [M].

    Args:
        tokens: tokens of all documents, [T].
        begin: index of each document's first token.
    """
    speech = vocabulary.speech_mask(tokens)
    edge = np.zeros(len(tokens) + 1, bool)  # true where a document begins: no span crosses it
    edge[begin], edge[-1] = True, True
    first = np.flatnonzero(speech & (edge[:-1] | ~np.roll(speech, 1)))  # the rolled-in value stands at an edge
    last = np.flatnonzero(speech & (edge[1:] | ~np.roll(speech, -1)))
    opened = ~edge[first] & (tokens[first - 1] == _special(vocabulary, BEGIN_OF_AUDIO))
    closed = ~edge[last + 1] & (tokens.take(last + 1, mode="clip") == _special(vocabulary, END_OF_AUDIO))
    return first - opened, last + closed


def count_inside(tokens: NDArray[np.int32], cuts: Ints, vocabulary: Vocabulary) -> int:
    """Count the `cuts` (tokens that end a row within their document) that lie inside a speech span."""
    cuts = cuts[vocabulary.speech_mask(tokens[cuts])]
    before, after = tokens[cuts - 1], tokens[cuts + 1]
    begun = vocabulary.speech_mask(before) | (before == _special(vocabulary, BEGIN_OF_AUDIO))
    goes_on = vocabulary.speech_mask(after) | (after == _special(vocabulary, END_OF_AUDIO))
    return int((begun & goes_on).sum())


def _special(vocabulary: Vocabulary, token: str) -> int:
    """Id of a special token; -1 if the vocabulary does not have it."""
    return vocabulary.special_id(token) if token in vocabulary.special_tokens else -1
