"""The units of spans: where words, tokens or characters end.

Unit i goes from the end of unit i - 1 to its own end, so that units join to the text exactly and each takes the white
space before it; the last one ends with the text.

    words       runs without white space: for languages that put spaces between words
    characters  for Chinese: each character is a unit, but a run of Latin letters or digits is one ("2024", "GPT"),
                since half of it says nothing, and so is a character with its combining marks
    tokens      of the text tokenizer, by its offsets: spans may begin and end inside words, as the paper's may
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from megatron_speech.text_normalization.characters import Class

Unit = Literal["words", "tokens", "characters"]
TokenEnds = Callable[[str], Sequence[int]]
"""text -> the end of every token in characters, as `TextTokenizer.token_ends`."""


def unit_ends(text: str, unit: Unit, *, classes: np.ndarray, token_ends: TokenEnds | None = None) -> np.ndarray:
    """End of every unit in characters, ascending: int64 [units]; empty where the text is blank. Linear in its length.

    `classes` are those of the text's characters (`characters.character_classes`); `token_ends` is needed for tokens
    alone.
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
    """Whether character i and character i + 1 belong to different units: bool [characters - 1]."""
    alike = (classes >= Class.LATIN) & (classes <= Class.DIGIT)
    return ~((alike[:-1] & alike[1:]) | (classes[1:] == Class.MARK))


def _holding_text(ends: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """`ends` without those of tokens that are white space alone: it goes to the next token."""
    written = np.concatenate([[0], np.cumsum(classes != Class.SPACE)])[ends]
    return ends[np.diff(written, prepend=0) > 0]
