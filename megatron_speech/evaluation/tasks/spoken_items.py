"""Finds the speech codes of spoken items: by metadata of utterances, or by encoding the recordings of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder, require_same_tokenizer
from megatron_speech.evaluation.data_sets.items import Passage
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.vocabulary import Vocabulary

NO_TEXT = "no text"
"""Reason of an item that lacks a text which others of its data set have."""


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


def passage_encoder(
    folder: Path | None, cache: Path | None, vocabulary: Vocabulary, *, key: str
) -> PassageEncoder | None:
    """Encoder of recordings by the speech tokenizer in `folder`, the setting `key`; None without a folder.

    Raises ValueError if it is not the speech tokenizer of `vocabulary`.
    """
    if folder is None:
        return None
    encoder = PassageEncoder(folder, cache)
    require_same_tokenizer(encoder, vocabulary.speech_fingerprint, key=key)
    return encoder


def passage_of(
    passage: Passage, encoder: PassageEncoder | None, *, name: str, key: str
) -> tuple[SpokenText, str | None]:
    """A passage of the data set `name` with its codes, and why it has none; one that is only written needs none.

    Raises ValueError for a recording without an encoder; `key` is that of the task.
    """
    if passage.recording is None and passage.defect is None:
        return SpokenText(passage.text or ""), None
    if encoder is None:
        raise ValueError(f"{key}.sets.{name} has recordings; name {key}.speech_tokenizer")
    codes, defect = encoder.codes(passage)
    return SpokenText(passage.text or "", codes), defect


def passage_bytes(passage: SpokenText) -> bytes:
    """What a model is given of a passage, for a checksum."""
    codes = b"" if passage.codes is None else np.asarray(passage.codes, "<i4").tobytes()
    return passage.text.encode() + b"\0" + codes
