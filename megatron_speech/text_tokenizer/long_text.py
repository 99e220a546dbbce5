"""Encode a text of any length in bounded memory: piece by piece, joined where neighbouring pieces agree.

An encoding takes some 150 bytes per token, so one text of 100 MB would take 15 GB. Pieces overlap; a piece begins at a
token of the one before. Two pieces are joined in the middle of their overlap, where the tokens on both sides are the
same in both: there neither the beginning of the one nor the end of the other decided anything, so they are the tokens
of the whole text. Where no overlap up to half a piece agrees (a single word of that length), the whole text is encoded
at once. Cost: the overlaps are encoded twice, 2 % of a text. Limitation: a Unigram model may cut a text that repeats
itself for a whole piece (one letter 260,000 times) at other places than in one go.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

PIECE = 1 << 18
"""Characters encoded at once."""
OVERLAP = 1 << 12
"""Characters that neighbours share, at first."""
AGREEING = 16
"""Tokens on either side of a joint that must be the same in both pieces."""


def encode_long(
    encoder: Tokenizer, text: str, *, piece: int = PIECE, overlap: int = OVERLAP, agreeing: int = AGREEING
) -> NDArray[np.int32]:
    """Ids of `text`, int32 [T], as ``encoder.encode`` gives them without special tokens."""
    parts: list[NDArray[np.int32]] = []
    start = skip = 0
    current = encoder.encode(text[:piece], add_special_tokens=False)
    while start + piece < len(text):
        joint = None
        shared = overlap
        while joint is None and shared <= piece // 2:
            begin = _token_start(current, piece - shared)
            following = encoder.encode(text[start + begin : start + begin + piece], add_special_tokens=False)
            joint = _joint(current, following, begin, piece - shared // 2, agreeing) if begin else None
            shared *= 4
        if joint is None:
            return np.array(encoder.encode(text, add_special_tokens=False).ids, np.int32)
        parts.append(np.array(current.ids[skip : joint[0]], np.int32))
        current, start, skip = following, start + begin, joint[1]
    parts.append(np.array(current.ids[skip:], np.int32))
    return np.concatenate(parts)


def _place(encoding: Encoding, index: int) -> tuple[int, int]:
    """Characters of a token, half-open."""
    place: tuple[int, int] | None = encoding.token_to_chars(index)
    return place or (0, 0)


def _first_from(encoding: Encoding, character: int) -> int:
    """Index of the first token that begins at or behind `character`."""
    return bisect_left(range(len(encoding)), character, key=lambda index: _place(encoding, index)[0])


def _token_start(encoding: Encoding, character: int) -> int:
    """Character at which the last token before `character` begins; 0 where there is none."""
    index = _first_from(encoding, character)
    return _place(encoding, index - 1)[0] if index else 0


def _joint(first: Encoding, second: Encoding, begin: int, character: int, agreeing: int) -> tuple[int, int] | None:
    """Indices of one token in both pieces whose neighbours are the same; `second` begins at `begin` of `first`."""
    one, two = _first_from(first, character), _first_from(second, character - begin)
    if min(one, two) < agreeing or len(first) - one < agreeing or len(second) - two < agreeing:
        return None
    ids, others = first.ids, second.ids
    if ids[one - agreeing : one + agreeing] != others[two - agreeing : two + agreeing]:
        return None
    for offset in range(-agreeing, agreeing):
        left, right = _place(second, two + offset)
        if _place(first, one + offset) != (left + begin, right + begin):
            return None
    return one, two
