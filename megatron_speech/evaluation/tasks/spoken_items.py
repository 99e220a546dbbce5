"""Finds the speech codes of spoken items by metadata of their utterances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.data.shards.documents import read_documents
from megatron_speech.vocabulary import Vocabulary


def codes_by(folder: Path, vocabulary: Vocabulary, *keys: str) -> dict[tuple[Any, ...], np.ndarray]:
    """Codes of every utterance of `folder`, int32 [T], by the values of `keys` in its metadata.

    Raises ValueError if codes come from another speech tokenizer than that of `vocabulary`. Raises it, too, if an
    utterance lacks a key, or if two utterances have the same values.
    """
    bare = Vocabulary.of_codes(vocabulary.num_speech_ids, vocabulary.speech_fingerprint)
    codes: dict[tuple[Any, ...], np.ndarray] = {}
    for document in read_documents(folder, vocabulary=bare):
        missing = [key for key in keys if key not in document.meta]
        if missing:
            raise ValueError(
                f"{folder}: utterance {document.key!r} lacks {missing[0]!r} in its meta; encode the audio again"
            )
        name = tuple(document.meta[key] for key in keys)
        if name in codes:
            raise ValueError(
                f"{folder}: utterance {document.key!r} repeats {dict(zip(keys, name, strict=True))}; keep one"
            )
        codes[name] = document.tokens
    return codes
