"""Facts of folders of token shards: documents and packed rows."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class IdsFacts(Record):
    """Summary of a folder's vocabulary.json."""

    fingerprint: str
    """Fingerprint of the vocabulary."""
    text_tokenizer: str
    """Fingerprint of the text tokenizer; empty for bare speech codes."""
    speech_tokenizer: str
    """Fingerprint of the speech tokenizer; empty where none is known."""
    text_ids: tuple[int, int]
    """First text id and the one after the last."""
    special_ids: dict[str, int]
    """Ids of the special tokens."""
    speech_ids: tuple[int, int]
    """First speech id and the one after the last."""
    padded_size: int
    """Rows of an embedding for these ids."""


@dataclass(frozen=True, kw_only=True)
class DocumentsFacts(Record):
    """A folder of token documents; subclasses add the counts of their stages."""

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
    """Utterances laid out for a task (kinds ``documents_text_to_token``, ``_recognition``, ``_synthesis``)."""

    utterances: dict[str, int]
    """Utterances read, and left out by reason."""
    duration_s: float
    """Speech in the documents in seconds, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class PackedFacts(Record):
    """Packed rows (kind ``packed``)."""

    rows: int
    """Rows in all shards."""
    tokens: int
    """Labels in all rows, padding excluded."""
    text_tokens: int
    """Text and special ids among them."""
    speech_tokens: int
    """Speech ids among them."""
    seq_length: int
    """Labels per row, padding included (S)."""
    documents: int
    """Documents packed."""
    dropped: int
    """Documents left out as too long."""
    padding: int
    """Padding in all rows, in ids."""
    cuts: int
    """Rows that end inside a document."""
    cut_spans: int
    """Rows that end inside a speech span."""
    fill: float
    """Share of the labels that is no padding, to six decimals."""
    input: str
    """Checksum of the documents."""
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
    """Shards they came from."""
