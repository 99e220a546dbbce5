"""How a text and its speech tokens are laid out as one sequence: asked exactly as it was taught.

The layout is that of the synthesis task (`interleave.tasks`), in the text-to-token model's own vocabulary, over the
text as it is spoken. The same functions make training documents and prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from megatron_speech.data.document import TokenDocument
from megatron_speech.interleave.tasks import synthesis_document, synthesis_prompt
from megatron_speech.text_to_token.spoken import spoken
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import END_OF_AUDIO, Vocabulary


def training_document(
    key: str, text: str, codes: np.ndarray, *, tokenizer: TextTokenizer, vocabulary: Vocabulary, meta: dict[str, Any]
) -> TokenDocument:
    """(text, speech codes) to learn from; ValueError when nothing of the text can be spoken or a code is unknown."""
    text_ids = tokenizer.encode(spoken(text))
    return synthesis_document(key, text_ids=text_ids, codes=codes, vocabulary=vocabulary, meta=meta)


def prompt(text: str, *, tokenizer: TextTokenizer, vocabulary: Vocabulary, speaker: str | None = None) -> list[int]:
    """Ids after which speech tokens follow; empty when nothing of the text can be spoken ("...", other scripts)."""
    text_ids = tokenizer.encode(spoken(text))
    return synthesis_prompt(text_ids, vocabulary=vocabulary).tolist() if text_ids else []


def codes_of(tokens: Sequence[int], *, vocabulary: Vocabulary) -> np.ndarray:
    """Generated speech ids as codes of the speech tokenizer, int32 [T]."""
    codes = np.asarray(tokens, dtype=np.int32) - vocabulary.first_speech_id
    assert codes.size == 0 or codes.min() >= 0, (
        "a generated id is no speech id: generation was not restricted to speech"
    )
    return codes


def stop_id(vocabulary: Vocabulary) -> int:
    """Id that ends the speech."""
    return vocabulary.special_id(END_OF_AUDIO)
