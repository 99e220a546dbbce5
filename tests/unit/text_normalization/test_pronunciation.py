"""Text as sounds: one ASCII character each, and nothing where nothing can be said."""

import importlib.util
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.text_normalization import pronunciation
from megatron_speech.text_normalization.pronunciation import pronounce

with_dictionary = pytest.mark.skipif(
    importlib.util.find_spec("hibari") is None, reason="hibari-tts is not installed (extra: pronunciation)"
)


@with_dictionary
@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("The judge chose five thin boys.", "D@ J'VJ C'oz f'yv T'In b'9z."),
        ("In the US, nineteen sixty four, they asked us.", "In D@ ju'Es, nynt'in s'Iksti f'Or, De '{skt Vs."),
        ("two and a half tablespoons", "t'u {nd 6 h'{f t'eb@lspunz"),
        ("a", "6"),
        ("...", ""),
        ("", ""),
    ],
)
def test_known_words(text: str, sounds: str) -> None:
    assert pronounce(text) == sounds


@with_dictionary
@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCIMNOSUX .,?!'", max_size=40))
def test_every_reading_gives_sounds_alone(reading: str) -> None:
    sounds = pronounce(reading)
    assert sounds.isascii() and sounds == sounds.strip() and "  " not in sounds
    assert not sounds or set(sounds) - set(".,?!' ")


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari.g2p", None)
    pronunciation.dictionary.cache_clear()
    with pytest.raises(ValueError, match=r"megatron-speech\[pronunciation\]"):
        pronounce("Hello.")
    pronunciation.dictionary.cache_clear()
