"""A text corpus to document shards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice

import numpy as np
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.config.tokens import TokenizeTextConfig
from megatron_speech.data.corpus import read_jsonl
from megatron_speech.data.document import TokenDocument
from megatron_speech.data.shards import write_documents
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

log = logging.getLogger(__name__)

BATCH = 512
"""Texts encoded at once."""


def tokenize_text(config: TokenizeTextConfig) -> None:
    """Encode the corpus `config.input` into `config.output`; what is already made stays.

    Raises:
        FileNotFoundError: the corpus or the vocabulary folder is missing.
        ValueError: a line of the corpus is unusable (file and line named).
    """
    if not config.input.is_file():
        raise FileNotFoundError(
            f"input={config.input} does not exist; a corpus is a file with one JSON object per line"
        )
    inputs = [config.input, config.vocabulary]
    if is_made(config.output, kind="documents", config=config, inputs=inputs):
        log.info("%s is already made", config.output)
        return
    vocabulary = Vocabulary.load(config.vocabulary)
    tokenizer = TextTokenizer.load(config.vocabulary)
    with make_artifact(config.output, kind="documents", config=config, inputs=inputs) as draft:
        facts = write_documents(
            draft.folder,
            tqdm(_encoded(config, tokenizer), desc=f"tokenize {config.name}", unit="doc"),
            vocabulary=vocabulary,
            name=config.name,
            shard_tokens=config.shard_tokens,
        )
        draft.facts.update(facts)
    log.info("%s: %s documents, %s tokens", config.output, f"{facts['documents']:,}", f"{facts['tokens']:,}")


def _encoded(config: TokenizeTextConfig, tokenizer: TextTokenizer) -> Iterator[TokenDocument]:
    documents = islice(read_jsonl(config.input), config.max_documents)
    while batch := list(islice(documents, BATCH)):
        encoded = tokenizer.encode_batch([document.text for document in batch])
        for document, ids in zip(batch, encoded, strict=True):
            yield TokenDocument(key=document.id, tokens=np.array(ids, np.int32), meta=document.metadata)
