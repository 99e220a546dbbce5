"""Builds prompts and training documents of text-to-token models, by the same functions.

    <|synthesize|> [<|speaker:NAME|>] [<|sounds|>] text <|begin_of_audio|>  |  speech <|end_of_audio|>

This is the layout of the synthesis task (`sequences.speech_tasks`) in the model's own vocabulary. The bar marks where
the target starts. The parts in brackets depend on the special tokens of the vocabulary. With speaker tokens, every
sequence names a speaker. With `<|sounds|>`, the text is the pronunciation of the reading
(`text_normalization.pronunciation`). Else it is the reading itself, in lower case for English.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.sequences.speech_tasks import synthesis_document, synthesis_prompt
from megatron_speech.text_normalization.pronunciation import pronounce
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import END_OF_AUDIO, SOUNDS, Vocabulary, speaker_token


def training_document(
    key: str,
    reading: str,
    codes: np.ndarray,
    *,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    meta: dict[str, Any],
    speaker: str | None = None,
    language: Language = "en",
) -> TokenDocument:
    """Lay out `reading` and its speech `codes` int32 [T] as a training document.

    Raises ValueError for an empty reading, a code outside the vocabulary, or as `prompt`.
    """
    return synthesis_document(
        key,
        text_ids=_text_ids(reading, language, tokenizer=tokenizer, vocabulary=vocabulary),
        codes=codes,
        vocabulary=vocabulary,
        meta=meta,
        hints=_hints(vocabulary, speaker),
    )


def prompt(
    reading: str,
    *,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    speaker: str | None = None,
    language: Language = "en",
) -> list[int]:
    """Ids that ask for the speech of `reading`; empty for a reading without text ids.

    Raises ValueError if `speaker` has no speaker token, or is None for a vocabulary with speakers. Also raises it for
    another language than English if the vocabulary takes sounds.
    """
    hints = _hints(vocabulary, speaker)
    text_ids = _text_ids(reading, language, tokenizer=tokenizer, vocabulary=vocabulary) if reading else []
    return synthesis_prompt(text_ids, vocabulary=vocabulary, hints=hints).tolist() if text_ids else []


def _text_ids(reading: str, language: Language, *, tokenizer: TextTokenizer, vocabulary: Vocabulary) -> list[int]:
    """Text ids of `reading`: of its pronunciation if the vocabulary has `<|sounds|>`, else of its letters."""
    if SOUNDS not in vocabulary.special_tokens:
        return tokenizer.encode(reading.lower() if language == "en" else reading)
    if language != "en":
        raise ValueError(
            f"language={language}: the text-to-token model reads sounds, which are known for English alone; build its "
            "vocabulary with spelling: letters"
        )
    return tokenizer.encode(pronounce(reading))


def _hints(vocabulary: Vocabulary, speaker: str | None) -> list[str]:
    """Special tokens between `<|synthesize|>` and the text."""
    known = vocabulary.speakers
    if (speaker is not None or known) and speaker not in known:
        raise ValueError(
            f"speaker={speaker} is none of the vocabulary's speakers ({', '.join(known) or 'it has none'}); "
            "name one of them, or build a vocabulary that has it (megatron-speech build_vocabulary, speakers)"
        )
    speakers = [speaker_token(speaker)] if speaker is not None else []
    return [*speakers, *([SOUNDS] if SOUNDS in vocabulary.special_tokens else [])]


def codes_of(tokens: Sequence[int], *, vocabulary: Vocabulary) -> np.ndarray:
    """Turn generated speech ids into codes of the speech tokenizer, int32 [T]."""
    codes = np.asarray(tokens, dtype=np.int32) - vocabulary.first_speech_id
    assert codes.size == 0 or (codes.min() >= 0 and codes.max() < vocabulary.num_speech_ids), (
        "a generated id is not a speech id: restrict generation by allowed_ids"
    )
    return codes


def stop_id(vocabulary: Vocabulary) -> int:
    """Id of the end of audio, which ends the speech."""
    return vocabulary.special_id(END_OF_AUDIO)
