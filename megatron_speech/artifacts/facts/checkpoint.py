"""Facts of imported and exported models (kinds ``checkpoint``, ``hugging_face``), and errors of gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.vocabulary import NamedTokenizerFacts


@dataclass(frozen=True, kw_only=True)
class BaseFacts(Record):
    """A base model as its model card describes it. Unknown values are absent; for random weights, all are."""

    name: str | None = None
    """Name of its folder; absent for random weights."""
    license: tuple[str, ...] | None = None
    """Licences that its model card names."""
    license_name: tuple[str, ...] | None = None
    """Name of a licence that is not on the Hugging Face list."""
    license_link: tuple[str, ...] | None = None
    """Address of that licence."""
    language: tuple[str, ...] | None = None
    """Its languages."""
    base_model: tuple[str, ...] | None = None
    """Models it was made from, by its card."""
    licences: tuple[str, ...] | None = None
    """Licences in the manifest of its folder, if a tool of this library made it."""

    def __post_init__(self) -> None:
        if self.name is None and any(value is not None for value in vars(self).values()):
            raise ValueError("base.name is missing")


SCRATCH = BaseFacts()
"""The base of a model that began with random weights."""


@dataclass(frozen=True, kw_only=True)
class CheckpointState(Record):
    """``state.json`` of a checkpoint. Weights alone lack the progress of a run."""

    step: int
    """Training steps done; 0 for imported weights."""
    consumed_samples: int | None = None
    """Packed rows read since the run began."""
    text_tokens: int | None = None
    """Text targets trained on."""
    speech_tokens: int | None = None
    """Speech targets trained on."""
    plan: str | None = None
    """Fingerprint of the plan that the run follows."""
    settings: dict[str, Any] | None = None
    """Settings that decide what the run learns, by dotted key; older runs lack them."""
    layout: dict[str, Any] | None = None
    """Settings of `parallel`, and ``world_size``."""
    has_optimizer: bool | None = None
    """Whether the optimizer's state was saved, too."""
    dtype: str | None = None
    """Number format of the weights; absent for imported weights."""
    fp8_amax_history_len: int | None = None
    """Micro-batches in the history of delayed FP8 scales; 0 without such scales."""


@dataclass(frozen=True, kw_only=True)
class SourceTerms(Record):
    """Task, licences and languages of a source that a model was trained on."""

    task: str
    """Task of its documents."""
    licences: tuple[str, ...]
    """Licences of all upstream data."""
    languages: tuple[str, ...]
    """Languages of all upstream data."""


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """Origin of the weights of a run: its ``origin.json``."""

    base: BaseFacts | None
    """The imported model, or `SCRATCH` for random weights; null if nothing is recorded."""
    sources: dict[str, SourceTerms]
    """Training sources by name."""


@dataclass(frozen=True, kw_only=True)
class ImportedFacts(Record):
    """The field `base` of `ImportFacts` alone, to read manifests of older imports, which lack it."""

    base: BaseFacts | None = None
    """The imported model."""


@dataclass(frozen=True, kw_only=True)
class ImportFacts(Record):
    """A checkpoint made from a Hugging Face folder (kind ``checkpoint``)."""

    parameters: int
    """Weights of the model, padding of the embedding included."""
    base: BaseFacts
    """The imported model."""
    text_rows_read: int
    """Embedding rows of text ids copied from the model."""
    special_rows_read: int
    """Embedding rows of special ids copied from the model."""
    special_rows_drawn: int
    """Embedding rows of special ids drawn at random."""
    speech_rows_read: int
    """Embedding rows of speech ids copied from the model."""
    speech_rows_drawn: int
    """Embedding rows of speech ids drawn at random."""
    rows_padded: int
    """Embedding rows without an id, for padding."""
    rows_left_out: int
    """Rows of the imported model without an id in this vocabulary."""


@dataclass(frozen=True, kw_only=True)
class FileFacts(Record):
    """One file."""

    bytes: int
    """Its size."""
    xxh3: str
    """xxh3_128 of its bytes."""


@dataclass(frozen=True, kw_only=True)
class ExportFacts(Record):
    """A Hugging Face folder made from a checkpoint (kind ``hugging_face``)."""

    checkpoint: str
    """Path of the checkpoint."""
    step: int | None
    """Training step of the checkpoint; null if the checkpoint does not record it."""
    family: str
    """Model family, such as ``llama``."""
    parameters: int
    """Weights of the model."""
    vocabulary: str
    """Fingerprint of the vocabulary."""
    text_tokenizer: str | None = None
    """Name of the text tokenizer, if the vocabulary's manifest has it."""
    speech_tokenizer: NamedTokenizerFacts | None = None
    """The speech tokenizer, if the vocabulary's manifest has it."""
    files: dict[str, FileFacts]
    """Safetensors files by name."""


@dataclass(frozen=True, kw_only=True)
class TensorErrorFacts(Record):
    """The error of a tensor against its float32 reference."""

    relative_error: float
    """Norm of the error over the norm of the reference."""
    cosine: float
    """Cosine similarity to the reference."""


@dataclass(frozen=True, kw_only=True)
class GradientErrorFacts(Record):
    """Errors of gradients in several number formats (kind ``gradient_error``)."""

    errors: dict[str, dict[str, TensorErrorFacts]]
    """Errors by number format and part of the model."""
    step: int
    """Training step of the checkpoint."""
    targets: int
    """Targets in the loss."""
