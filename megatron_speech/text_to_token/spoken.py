"""Text as it is read aloud, for the text-to-token model only: what it is trained on and what it is asked.

A small model should not have to learn that "1984", "1,984" and "£5" have a spoken form, so numbers, dates, signs,
units and abbreviations become words. The written side of every document stays as it is. English is read by rules over
num2words (`read_english`), Chinese by wetext's grammars (`read_chinese`), each the better of the two on sixty
cases written beforehand (tests/unit/text_to_token/readings.py). Price: a guess where the reading is ambiguous ("1984"
is a year, "1,984" a count).
"""

from __future__ import annotations

from megatron_speech.config.text_to_token import Language
from megatron_speech.text_to_token.read_english import read_english


def spoken(text: str, *, language: Language = "en") -> str:
    """`text` in the letters and the punctuation that a voice needs, single spaces; may be empty.

    en: lower-case words and . , ? ! '
    zh: Chinese characters, Latin letters as they stand, and 。，、？！

    Raises ValueError for zh where wetext is not installed.
    """
    if language == "en":
        return read_english(text)
    from megatron_speech.text_to_token.read_chinese import read_chinese

    return read_chinese(text)
