"""English words as phonemes: the input of a text-to-token model that is trained with ``spelling: sounds``.

A few hours of speech do not teach a small model how English spelling sounds ("gustatory" becomes "Jewish story").
The package hibari-tts (misaki's grapheme-to-phoneme rules, Apache-2.0) has a dictionary of 180,000 words and a small
network for unknown ones. It takes about 1 ms per sentence.

Each phoneme is one ASCII character, X-SAMPA's where it has a single one. A byte tokenizer so gives one id per
phoneme, about as many as there are letters. The input is normalized text (words, no digits) with its capitals,
because these tell "US" from "us".

Limitation: English only; more training speech does not mend a wrong dictionary entry.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_CONSONANTS = {"ɡ": "g", "ŋ": "N", "ɹ": "r", "ʃ": "S", "ʒ": "Z", "ð": "D", "θ": "T", "T": "4", "ʧ": "C", "ʤ": "J"}
_VOWELS = {"ə": "@", "ɑ": "A", "ɔ": "O", "ɛ": "E", "ɜ": "3", "ɪ": "I", "ʊ": "U", "ʌ": "V", "æ": "{", "ɐ": "6"}
_WEAK_VOWELS = {"ᵊ": "=", "ᵻ": "1"}
_DIPHTHONGS = {"A": "e", "I": "y", "O": "o", "W": "8", "Y": "9"}  # as in day, eye, go, now, boy
_PAUSES = dict.fromkeys(";:,—()", ",")
_SIGNS = str.maketrans(_CONSONANTS | _VOWELS | _WEAK_VOWELS | _DIPHTHONGS | _PAUSES | {"ˈ": "'", "…": "."})
_UNKNOWN = re.compile(r"[^a-zACDEINOSTUVZJ34689@{=1,.?!' ]")


def pronounce(reading: str) -> str:
    """Phonemes of `reading`, with `'` before a stressed one, pauses (. , ? !) and single spaces; may be empty.

    `reading` consists of letters, spaces and . , ? ! '

    Raises ValueError if the package hibari-tts is not installed.
    """
    signs = _UNKNOWN.sub("", dictionary()(reading).translate(_SIGNS))
    signs = re.sub(r"([.,?!])", r"\1 ", signs)
    signs = re.sub(r"\s+", " ", signs)
    signs = re.sub(r" ([.,?!])", r"\1", signs)
    signs = re.sub(r"([.,?!])[.,?!]+", r"\1", signs)
    signs = signs.strip(" ,'")
    return signs if re.search(r"[^.,?!' ]", signs) else ""


@cache
def dictionary() -> Any:
    """Load the package's grapheme-to-phoneme converter: 0.3 s, once per process."""
    try:
        from hibari.g2p import G2P
    except ModuleNotFoundError as error:
        raise ValueError(
            "spelling=sounds needs the package hibari-tts; pip install 'megatron-speech[pronunciation]'"
        ) from error
    return G2P()
