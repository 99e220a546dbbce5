"""The corpus's spelling, what can be spoken, and where sentences end."""

import pytest

from megatron_speech.miniature.text import clean_text, is_speakable, split_sentences


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Bogotá\xa0is—in 1901–2000—a\u2060 “city”.", 'Bogota is, in 1901-2000, a "city".'),
        ("Izumo (出雲 阿国) danced (well).", "Izumo danced (well)."),
        ("Alpha (/ˈælfə/; Greek: άλφα (a)) is a letter.", "Alpha is a letter."),
        ("It is ( ) empty , and\nfolded.", "It is empty, and folded."),
        ("Łódź, Þór, Øresund, Straße", "Lodz, Thor, Oresund, Strasse"),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean
    assert clean_text(clean) == clean


@pytest.mark.parametrize(
    "text", ["The year 1984 (at $5.50, 20%) is Dr. Smith's; isn't it?", "A well-known, plain sentence."]
)
def test_plain_text_is_speakable(text: str) -> None:
    assert is_speakable(text)


@pytest.mark.parametrize("text", ["", "90 °C", "x = y", "km/h", "and so on...", "π is a number", "[music]", "a * b"])
def test_what_no_voice_reads_is_not_speakable(text: str) -> None:
    assert not is_speakable(text)


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. A. B. Smith came.", "He left."],
        ["It was built c. 2600 BC.", "It stands."],
        ["In the U.S. Navy he served.", 'He said "no."', "Then he went."],
        ["Is it?", "Yes!", "3 are left."],
        ["One sentence without an end"],
    ],
)
def test_sentences(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences
