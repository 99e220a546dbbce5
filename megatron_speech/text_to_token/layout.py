"""How a text and its speech tokens are laid out as one sequence: asked exactly as it was taught.

The layout is that of the synthesis task (`interleave.tasks`), in the text-to-token model's own vocabulary, over the
text as it is spoken, filled up with spaces to a multiple of `ALIGN` ids. The same functions make training documents
and prompts. Why the filling: letters and codes come at nearly the same pace, so a code's letter lies one block and a
bit before it; with rotary positions that is a nearly fixed distance, which a small model finds in a few hundred steps,
where the distance without filling depends on the text's length. Price: `ALIGN` / 2 more ids per text on average.
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

ALIGN = 64
"""Text ids are filled up to a multiple of this."""


def training_document(
    key: str, text: str, codes: np.ndarray, *, tokenizer: TextTokenizer, vocabulary: Vocabulary, meta: dict[str, Any]
) -> TokenDocument:
    """(text, speech codes) to learn from; ValueError when nothing of the text can be spoken or a code is unknown."""
    text_ids = _filled(tokenizer.encode(spoken(text)), tokenizer)
    return synthesis_document(key, text_ids=text_ids, codes=codes, vocabulary=vocabulary, meta=meta)


def prompt(text: str, *, tokenizer: TextTokenizer, vocabulary: Vocabulary) -> list[int]:
    """Ids after which speech tokens follow; empty when nothing of the text can be spoken ("...", other scripts)."""
    text_ids = _filled(tokenizer.encode(spoken(text)), tokenizer)
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


def _filled(text_ids: list[int], tokenizer: TextTokenizer) -> list[int]:
    """Spaces after the text up to the next multiple of `ALIGN`; nothing stays nothing."""
    (space,) = tokenizer.encode(" ")
    return text_ids + [space] * (-len(text_ids) % ALIGN)
