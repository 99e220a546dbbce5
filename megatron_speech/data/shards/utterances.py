"""Reads transcribed utterances of code shards, filtered by the user's settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from megatron_speech.config.stages.text_to_token import UtterancesConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.vocabulary import Vocabulary


def read_utterances(
    folders: Sequence[Path], wanted: UtterancesConfig, *, vocabulary: Vocabulary, counts: Counter[str]
) -> Iterator[TokenDocument]:
    """Yield utterances with bare codes as `tokens` and a transcript in `meta["text"]`; `counts` counts the others too.

    Raises ValueError if a folder's codes come from another speech tokenizer than the vocabulary's.
    """
    taken = seen = 0
    for folder in folders:
        require_same_codes(folder, vocabulary=vocabulary)
        for document in read_documents(folder):
            if taken == wanted.max_utterances or seen == wanted.of_first:
                return
            counts["read"] += 1
            seen += wanted.wants(document.meta)
            if not wanted.admits(document.meta):
                counts["filtered_out"] += 1
            elif not str(document.meta.get("text", "")).strip():
                counts["without_text"] += 1
            else:
                taken += 1
                yield document


def require_same_codes(folder: Path, *, vocabulary: Vocabulary) -> None:
    """Raise ValueError unless the folder holds bare codes of the vocabulary's speech tokenizer."""
    codes = Vocabulary.load(folder)
    if codes.num_text_ids or codes.special_tokens:
        raise ValueError(
            f"{folder} holds documents with text ids, not bare codes; give an output of megatron-speech tokenize_speech"
        )
    if (codes.num_speech_ids, codes.speech_fingerprint) != (vocabulary.num_speech_ids, vocabulary.speech_fingerprint):
        raise ValueError(
            f"{folder}: codes of speech tokenizer {codes.speech_fingerprint[:12]} ({codes.num_speech_ids} codes), the "
            f"vocabulary has {vocabulary.speech_fingerprint[:12]} ({vocabulary.num_speech_ids}); encode or build again"
        )
