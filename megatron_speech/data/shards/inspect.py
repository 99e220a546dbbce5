"""Shows what a folder of shards holds: counts, modality shares, first samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.config.inspection.shards import InspectShardsConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary


def inspect_shards(config: InspectShardsConfig) -> Iterator[str]:
    """Yield the lines to print.

    Raises:
        FileNotFoundError: the folder holds no finished shards.
        ValueError: the shown part is damaged, or `tokenizer` has another vocabulary.
    """
    index = FolderIndex.load(config.folder)
    vocabulary = Vocabulary.load(config.folder / "vocabulary.json")
    vocabulary.require(index.vocabulary, holder=f"{config.folder}/shards.json")
    if config.tokenizer and (other := Vocabulary.load(config.tokenizer)) != vocabulary:
        raise ValueError(
            f"tokenizer={config.tokenizer} is of vocabulary {other.fingerprint[:12]}, {config.folder} of "
            f"{vocabulary.fingerprint[:12]}; give the vocabulary folder that they were made with"
        )
    tokens, shards = index.text_tokens + index.speech_tokens, len(index.shards)
    of_shards = f"{shards:,} shard{'s' * (shards != 1)}"
    yield f"{config.folder}: {index.items:,} {index.kind} in {of_shards}, checksum {index.checksum}"
    yield f"vocabulary {index.vocabulary[:12]}: {vocabulary.size:,} ids, {vocabulary.num_speech_ids:,} of them speech"
    if tokens:
        yield (
            f"tokens {tokens:,}: text {index.text_tokens / tokens:.1%}, speech {index.speech_tokens / tokens:.1%}; "
            f"{tokens / index.items:.1f} per item"
        )
    for name, value in {**index.facts.to_json(), **_terms(config.folder)}.items():
        yield f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
    tokenizer = TextTokenizer.load(config.tokenizer) if config.tokenizer else None
    yield from _documents(config, tokenizer) if index.kind == "documents" else _rows(config, tokenizer)


def _terms(folder: Path) -> dict[str, str]:
    """Licences and languages of everything that the folder was made from, if it has a manifest."""
    if not (folder / MANIFEST).is_file():
        return {}
    manifest = read_manifest(folder)
    terms = {"licences": manifest.licences, "languages": manifest.languages}
    return {key: ", ".join(names) for key, names in terms.items() if names}


def _documents(config: InspectShardsConfig, tokenizer: TextTokenizer | None) -> Iterator[str]:
    for document in islice(read_documents(config.folder), config.samples):
        yield f"\ndocument {document.key}: {len(document.tokens)} tokens, targets from {document.target_start}"
        yield _shown(document.tokens, tokenizer, config.width)
        yield f"meta {document.meta}"[: config.width]


def _rows(config: InspectShardsConfig, tokenizer: TextTokenizer | None) -> Iterator[str]:
    folder = RowFolder(config.folder)
    for number in range(min(config.samples, len(folder))):
        row = folder.row(number, target_only=True)
        yield f"\nrow {number}: documents {folder.documents(number).tolist()}, context {row.context.tolist()}"
        for start, end in zip(row.cu_seqlens[:-1], row.cu_seqlens[1:], strict=True):
            yield f"[{start}, {end}) " + _shown(row.tokens[start:end], tokenizer, config.width)


def _shown(ids: NDArray[np.int32], tokenizer: TextTokenizer | None, width: int) -> str:
    shown = repr(tokenizer.decode(ids.tolist())) if tokenizer else str(ids.tolist())
    return shown if len(shown) <= width else shown[: width - 3] + "..."
