"""Normalisers of transcripts before errors are counted, by name; a score names its normaliser.

>>> NORMALIZERS["english"]("The Cat, it's 50!"), NORMALIZERS["chinese"]("他买了50本书。")
('the cat it is 50', '他买了五十本书')
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from megatron_speech.metrics.word_errors import normalize
from megatron_speech.text_normalization.chinese.numbers import LONGEST, cardinal, digit_by_digit

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(%?)(?=(年?))")
_SAME = str.maketrans({"〇": "零", "两": "二", "幺": "一"})


def normalize_chinese(text: str) -> str:
    """Chinese without spaces and punctuation, in lower case, with numbers in words; rates are those of characters.

    Years and numbers of more than 16 digits are read digit by digit, and 两 is written as 二. Limitation: traditional
    characters stay, so 國 against 国 is an error.
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", plain)
    read = _NUMBER.sub(_reading, plain).translate(_SAME)
    return "".join(sign for sign in read if unicodedata.category(sign)[0] in "LNM")


def _reading(found: re.Match[str]) -> str:
    number, percent, year = found.groups()
    if (year and len(number) == 4) or len(number) > LONGEST or (number[0] == "0" and number.isdigit()):
        words = "点".join(digit_by_digit(part) for part in number.split("."))
    else:
        words = cardinal(number)
    return f"百分之{words}" if percent else words


NORMALIZERS: dict[str, Callable[[str], str]] = {"english": normalize, "chinese": normalize_chinese}
"""`english` is Whisper's, as transformers ships it (`metrics/word_errors.py`)."""
