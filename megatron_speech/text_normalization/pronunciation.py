"""English text as sounds: what a small text-to-token model reads where its vocabulary says so.

English spelling hides its sounds, and a few hours of speech do not teach them ("gustatory" becomes "Jewish story"). A
pronouncing dictionary of 180,000 words, its rules and a small network for unknown words (the package hibari-tts, which
holds misaki's; Apache-2.0, a millisecond a sentence) know them. Each sound is one ASCII character, as X-SAMPA writes it
where it takes one, so that a byte tokenizer gives one id per sound, about as many as there are letters. Texts come in
words, as they are read aloud, and with their capitals, since these tell "US" from "us". Limitation: English only, and
what the dictionary gets wrong no amount of speech puts right.
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
    """Sounds, `'` before a stressed one, pauses (. , ? !) and single spaces; empty where nothing can be said.

    `reading` holds letters, spaces and . , ? ! '

    Raises ValueError where the package is not installed.
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
    """The package's grapheme-to-phoneme rules: 0.3 s to load, once per process."""
    try:
        from hibari.g2p import G2P
    except ModuleNotFoundError as error:
        raise ValueError(
            "spelling=sounds needs the package hibari-tts; pip install 'megatron-speech[pronunciation]'"
        ) from error
    return G2P()
