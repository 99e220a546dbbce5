"""How a text and its speech tokens are laid out as one sequence: asked exactly as it was taught.

    <|synthesize|> [<|speaker:NAME|>] [<|sounds|>] text <|begin_of_audio|>  |  speech <|end_of_audio|>

This is the layout of the synthesis task (`interleave.tasks`) in the text-to-token model's own vocabulary, whose
special tokens decide what stands in brackets. With speaker tokens every sequence names one of them. With `<|sounds|>`
the text is its pronunciation (`pronunciation`), else the text as it is read aloud (`spoken`). The bar is where the
target starts. The same functions make training documents and prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from megatron_speech.config.text_to_token import Language
from megatron_speech.data.document import TokenDocument
from megatron_speech.interleave.tasks import synthesis_document, synthesis_prompt
from megatron_speech.text_normalization.reading import Unreadable, spoken
from megatron_speech.text_to_token.pronunciation import pronounce
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import END_OF_AUDIO, SOUNDS, Vocabulary, speaker_token


def training_document(
    key: str,
    text: str,
    codes: np.ndarray,
    *,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    meta: dict[str, Any],
    speaker: str | None = None,
    language: Language = "en",
) -> TokenDocument:
    """(text, speech codes) to learn from.

    Raises ValueError when nothing of the text can be spoken, its reading is unsure (Unreadable), a code is unknown, or
    as `prompt`.
    """
    return synthesis_document(
        key,
        text_ids=_text_ids(text, language, tokenizer=tokenizer, vocabulary=vocabulary),
        codes=codes,
        vocabulary=vocabulary,
        meta=meta,
        hints=_hints(vocabulary, speaker),
    )


def prompt(
    text: str,
    *,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    speaker: str | None = None,
    language: Language = "en",
) -> list[int]:
    """Ids after which speech tokens follow; empty when nothing of the text can be spoken, or its reading is unsure.

    Raises ValueError for a speaker without a token, for none where the vocabulary has some, and for the sounds of
    another language than English.
    """
    hints = _hints(vocabulary, speaker)
    try:
        text_ids = _text_ids(text, language, tokenizer=tokenizer, vocabulary=vocabulary)
    except Unreadable:
        return []
    return synthesis_prompt(text_ids, vocabulary=vocabulary, hints=hints).tolist() if text_ids else []


def _text_ids(text: str, language: Language, *, tokenizer: TextTokenizer, vocabulary: Vocabulary) -> list[int]:
    """The text as this vocabulary's model reads it.

    Raises Unreadable, of sounds too: the dictionary reads anything, but not always what is meant.
    """
    if SOUNDS not in vocabulary.special_tokens:
        return tokenizer.encode(spoken(text, language=language))
    if language != "en":
        raise ValueError(
            f"language={language}: the text-to-token model reads sounds, which are known for English alone; build its "
            "vocabulary with spelling: letters"
        )
    return tokenizer.encode(pronounce(text)) if spoken(text, language=language) else []


def _hints(vocabulary: Vocabulary, speaker: str | None) -> list[str]:
    """Special tokens before the text."""
    known = vocabulary.speakers
    if (speaker is not None or known) and speaker not in known:
        raise ValueError(
            f"speaker={speaker} is none of the vocabulary's speakers ({', '.join(known) or 'it has none'}); "
            "name one of them, or build a vocabulary that has it (tools/build_vocabulary.py, speakers)"
        )
    speakers = [speaker_token(speaker)] if speaker is not None else []
    return [*speakers, *([SOUNDS] if SOUNDS in vocabulary.special_tokens else [])]


def codes_of(tokens: Sequence[int], *, vocabulary: Vocabulary) -> np.ndarray:
    """Generated speech ids as codes of the speech tokenizer, int32 [T]."""
    codes = np.asarray(tokens, dtype=np.int32) - vocabulary.first_speech_id
    assert codes.size == 0 or (codes.min() >= 0 and codes.max() < vocabulary.num_speech_ids), (
        "a generated id is no speech id: generation was not restricted to speech"
    )
    return codes


def stop_id(vocabulary: Vocabulary) -> int:
    """Id that ends the speech."""
    return vocabulary.special_id(END_OF_AUDIO)
