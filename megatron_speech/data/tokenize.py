"""Text corpora to document shards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice

import numpy as np
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.config.tokens import TokenizeTextConfig
from megatron_speech.data.corpus import TextDocument, read_jsonl
from megatron_speech.data.document import TokenDocument
from megatron_speech.data.shards import write_documents
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

log = logging.getLogger(__name__)

BATCH = 512
"""Texts encoded at once."""


def tokenize_text(config: TokenizeTextConfig) -> None:
    """Encode `config.corpora` into `config.output`; what is already made stays.

    Raises:
        FileNotFoundError: a corpus or the vocabulary folder is missing.
        ValueError: a line of a corpus is unusable (file and line named), or an id repeats.
    """
    for name, corpus in config.corpora.items():
        if not corpus.path.is_file():
            raise FileNotFoundError(f"corpora.{name}.path={corpus.path} does not exist; run the stage which writes it")
    inputs = [*(corpus.path for corpus in config.corpora.values()), config.vocabulary]
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
    documents = _documents(config)
    while batch := list(islice(documents, BATCH)):
        encoded = tokenizer.encode_batch([document.text for document in batch])
        for document, ids in zip(batch, encoded, strict=True):
            yield TokenDocument(key=document.id, tokens=np.array(ids, np.int32), meta=document.metadata)


def _documents(config: TokenizeTextConfig) -> Iterator[TextDocument]:
    corpus_of: dict[str, str] = {}
    for name, corpus in config.corpora.items():
        for document in islice(read_jsonl(corpus.path), corpus.max_documents):
            if corpus_of.setdefault(document.id, name) != name:
                raise ValueError(
                    f"corpora.{name}.path={corpus.path}: id {document.id!r} also occurs in corpora."
                    f"{corpus_of[document.id]}; ids must differ, they seed the order"
                )
            yield document
