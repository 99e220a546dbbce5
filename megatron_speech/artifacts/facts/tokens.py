"""Facts of folders of token shards: documents and packed rows."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class IdsFacts(Record):
    """Summary of the vocabulary of a folder; vocabulary.json holds all of it."""

    fingerprint: str
    """Fingerprint of the vocabulary."""
    text_tokenizer: str
    """Fingerprint of the text tokenizer; empty for bare speech codes."""
    speech_tokenizer: str
    """Fingerprint of the speech tokenizer; empty if unknown."""
    text_ids: tuple[int, int]
    """First text id, and the last one + 1."""
    special_ids: dict[str, int]
    """Ids of the special tokens."""
    speech_ids: tuple[int, int]
    """First speech id, and the last one + 1."""
    padded_size: int
    """Number of embedding rows, padding included."""


@dataclass(frozen=True, kw_only=True)
class DocumentsFacts(Record):
    """A folder of token documents; subclasses add the counts of the tools that made it."""

    documents: int
    """Documents in all shards."""
    tokens: int
    """Ids in all documents."""
    text_tokens: int
    """Text and special ids among them."""
    speech_tokens: int
    """Speech ids among them."""
    shards: int
    """Number of shards; shards.json lists them."""
    checksum: str
    """xxh3_128 over names and checksums of the shards."""
    vocabulary: IdsFacts
    """Summary of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class TaskDocumentsFacts(DocumentsFacts):
    """Documents of a training task (kinds ``documents_text_to_token``, ``_recognition``, ``_synthesis``)."""

    utterances: dict[str, int]
    """Number of utterances read, and of utterances left out by reason."""
    duration_s: float
    """Seconds of speech in the documents, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class PackingFacts(Record):
    """What packing adds to the counts of its shards, as ``facts`` in ``shards.json``; absent for documents."""

    seq_length: int | None = None
    """Labels per row, with padding (S)."""
    documents: int | None = None
    """Documents packed."""
    dropped: int | None = None
    """Documents left out as too long."""
    padding: int | None = None
    """Padding ids in all rows."""
    cuts: int | None = None
    """Rows that end inside a document."""
    cut_spans: int | None = None
    """Rows that end inside a speech span."""
    fill: float | None = None
    """Share of labels that are not padding, to six decimals."""
    input: str | None = None
    """Checksum of the packed documents."""


@dataclass(frozen=True, kw_only=True)
class PackedFacts(Record):
    """Packed rows (kind ``packed``)."""

    rows: int
    """Rows in all shards."""
    tokens: int
    """Labels in all rows, without padding."""
    text_tokens: int
    """Text and special ids among them."""
    speech_tokens: int
    """Speech ids among them."""
    seq_length: int
    """Labels per row, with padding (S)."""
    documents: int
    """Documents packed."""
    dropped: int
    """Documents left out as too long."""
    padding: int
    """Padding ids in all rows."""
    cuts: int
    """Rows that end inside a document."""
    cut_spans: int
    """Rows that end inside a speech span."""
    fill: float
    """Share of labels that are not padding, to six decimals."""
    input: str
    """Checksum of the packed documents."""
    shards: int
    """Number of shards."""
    checksum: str
    """xxh3_128 over names and checksums of the shards."""
    vocabulary: IdsFacts
    """Summary of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class IndexedDatasetFacts(Record):
    """An export to megatron-core's indexed dataset (kind ``indexed_dataset``)."""

    sequences: int
    """Documents or rows exported."""
    shards: int
    """Number of shards read."""
