"""Small vocabularies, documents and folders for the data plane's tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from megatron_speech.config.tokens import PackConfig
from megatron_speech.data.document import TokenDocument
from megatron_speech.data.packing import pack_documents
from megatron_speech.data.shards import write_documents
from megatron_speech.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text_ids=100, num_speech_ids=50)


def documents_of(lengths: Sequence[int], *, seed: int = 0, with_targets: bool = False) -> list[TokenDocument]:
    """One document per length, of random ids that are not the end of document."""
    rng = np.random.default_rng(seed)
    return [
        TokenDocument(
            key=f"document-{index}",
            tokens=rng.integers(1, VOCABULARY.size, length).astype(np.int32),
            target_start=int(rng.integers(0, length)) if with_targets else 0,
            meta={"index": index, "text": "naïve ☃"},
        )
        for index, length in enumerate(lengths)
    ]


def packed_folder(
    folder: Path,
    lengths: Sequence[int],
    *,
    seq_length: int = 16,
    algorithm: Literal["concat", "best_fit"] = "concat",
    seed: int = 0,
    with_targets: bool = False,
    shard_tokens: int = 1 << 28,
) -> Path:
    """A folder of rows packed from `documents_of(lengths)`, which lie in ``<folder>.documents``."""
    source = folder.with_name(folder.name + ".documents")
    documents = documents_of(lengths, seed=seed, with_targets=with_targets)
    write_documents(source, documents, vocabulary=VOCABULARY, name="documents", shard_tokens=200)
    config = PackConfig(
        input=source,
        output=folder,
        seq_length=seq_length,
        algorithm=algorithm,
        shard_tokens=shard_tokens,
    )
    pack_documents(folder, config)
    return folder
