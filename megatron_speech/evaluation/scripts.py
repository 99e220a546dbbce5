"""Which script a text is written in, and which tokens a model may write to stay within the script of a language.

A model that learnt several languages may answer in another one than was asked for. Such answers are found by their
letters, and can be prevented: only tokens whose letters are all of the language's script are allowed.

>>> in_other_script("巴黎是法国的首都。", "en"), in_other_script("It is Beijing (北京).", "en")
(True, False)
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from megatron_speech.text_normalization.characters import Class, character_classes, code_points
from megatron_speech.vocabulary import Vocabulary

ScriptLanguage = Literal["en", "zh"]
SCRIPTS: dict[ScriptLanguage, tuple[int, ...]] = {"en": (Class.LATIN, Class.UPPER), "zh": (Class.HAN,)}
"""Classes of the letters of each language."""
_LETTERS = (Class.LATIN, Class.UPPER, Class.HAN, Class.OTHER)
_PART = "\ufffd"
"""What the decoder writes for a part of a character."""


class Decoder(Protocol):
    """A tokenizer that turns ids into text."""

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`."""


def letters(text: str, language: ScriptLanguage) -> tuple[int, int]:
    """How many letters of `text` are of the script of `language`, and how many of others."""
    classes = character_classes(code_points(text))
    own = int(np.isin(classes, SCRIPTS[language]).sum())
    return own, int(np.isin(classes, _LETTERS).sum()) - own


def in_other_script(text: str, language: ScriptLanguage) -> bool:
    """Whether most letters of `text` are of another script than that of `language`."""
    own, others = letters(text, language)
    return others > own


def ids_of_language(tokenizer: Decoder, vocabulary: Vocabulary, language: ScriptLanguage) -> np.ndarray:
    """Mask of the text ids without a letter of another script, and of the end of the document: bool [V].

    Tokens that are a part of a character count as foreign to English, whose letters are whole tokens, and as Chinese.
    So an accented letter that a tokenizer writes in two parts cannot be written in English.
    """
    allowed: np.ndarray = vocabulary.text_mask(np.arange(vocabulary.size))
    for number in np.flatnonzero(allowed):
        text = tokenizer.decode([int(number)])
        allowed[number] = not letters(text, language)[1] and (language == "zh" or _PART not in text)
    allowed[vocabulary.end_of_document] = True
    return allowed
