"""Encode a text of any length in bounded memory: in overlapping pieces, joined where their tokens agree.

`tokenizers` needs some 150 bytes per token, so a text of 100 MB would need 15 GB. Each piece begins at a token of the
piece before. Two pieces are joined in the middle of their overlap, if the tokens on both sides are the same in both
pieces. Then the cut has no influence there, and the tokens are those of the whole text. If overlaps up to half a piece
do not agree (for example in one very long word), the whole text is encoded at once.

Cost: the overlaps, 2 % of a text, are encoded twice.
Limitation: a Unigram model may segment a text that repeats itself for a whole piece (one letter 260,000 times)
differently.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

PIECE = 1 << 18
"""Characters per piece."""
OVERLAP = 1 << 12
"""Characters that neighbouring pieces share; widened if they do not agree."""
AGREEING = 16
"""Number of tokens on either side of a joint that must be the same in both pieces."""


def encode_long(
    encoder: Tokenizer, text: str, *, piece: int = PIECE, overlap: int = OVERLAP, agreeing: int = AGREEING
) -> NDArray[np.int32]:
    """Ids of `text`, int32 [T]; the same as ``encoder.encode`` without special tokens.

    `piece` and `overlap` are in characters, `agreeing` in tokens.
    """
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
    """Range of characters of a token, half-open."""
    place: tuple[int, int] | None = encoding.token_to_chars(index)
    return place or (0, 0)


def _first_from(encoding: Encoding, character: int) -> int:
    """Index of the first token that begins at or after `character`."""
    return bisect_left(range(len(encoding)), character, key=lambda index: _place(encoding, index)[0])


def _token_start(encoding: Encoding, character: int) -> int:
    """Start of the last token that begins before `character`; 0 if there is none."""
    index = _first_from(encoding, character)
    return _place(encoding, index - 1)[0] if index else 0


def _joint(first: Encoding, second: Encoding, begin: int, character: int, agreeing: int) -> tuple[int, int] | None:
    """Indices, in both pieces, of a token near `character` if its neighbours agree; else None.

    `second` begins at character `begin` of `first`.
    """
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
