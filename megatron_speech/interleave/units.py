"""Cuts a text into the units of spans: words, tokens or characters.

Unit i goes from the end of unit i - 1 to its own end. So units join to the text exactly, and include the white space
before them. The last unit ends with the text.

`words` are runs without white space, for languages with spaces between words. `characters`, for Chinese, are single
characters with their combining marks, or runs of Latin letters and digits ("2024"). `tokens` are those of the text
tokenizer; spans may then start and end inside words, as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from megatron_speech.text_normalization.characters import Class

Unit = Literal["words", "tokens", "characters"]
TokenEnds = Callable[[str], Sequence[int]]
"""Function from a text to the end of every token, in characters (`TextTokenizer.token_ends`)."""


def unit_ends(text: str, unit: Unit, *, classes: np.ndarray, token_ends: TokenEnds | None = None) -> np.ndarray:
    """End of every unit in characters, ascending, int64 [units]; empty for a blank text. Time is linear.

    `classes` are those of the text's characters (`character_classes`). `token_ends` is needed for tokens only.
    """
    if unit == "tokens":
        assert token_ends is not None, "the unit tokens needs the tokenizer's token_ends"
        ends = _holding_text(np.unique(np.asarray(token_ends(text), dtype=np.int64)), classes)
    else:
        cut_after = classes != Class.SPACE
        cut_after[:-1] &= classes[1:] == Class.SPACE if unit == "words" else _apart(classes)
        ends = np.flatnonzero(cut_after) + 1
    if len(ends):
        ends[-1] = len(text)
    return ends


def _apart(classes: np.ndarray) -> np.ndarray:
    """Whether characters i and i + 1 belong to different units, bool [characters - 1]."""
    alike = (classes >= Class.LATIN) & (classes <= Class.DIGIT)
    apart: np.ndarray = ~((alike[:-1] & alike[1:]) | (classes[1:] == Class.MARK))
    return apart


def _holding_text(ends: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Remove the `ends` of tokens of white space only, which then belong to the next token."""
    written = np.concatenate([[0], np.cumsum(classes != Class.SPACE)])[ends]
    kept: np.ndarray = ends[np.diff(written, prepend=0) > 0]
    return kept
