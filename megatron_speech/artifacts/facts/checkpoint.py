"""Facts of imported and exported models (kinds ``checkpoint``, ``hugging_face``), and errors of gradients."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.vocabulary import NamedTokenizerFacts


@dataclass(frozen=True, kw_only=True)
class BaseFacts(Record):
    """A base model, as described by its model card; unknown fields are absent; all are for random weights."""

    name: str | None = None
    """Name of its folder; absent for random weights."""
    license: tuple[str, ...] | None = None
    """Licence, as its card gives it."""
    license_name: tuple[str, ...] | None = None
    """Name of a licence that the hub does not list."""
    license_link: tuple[str, ...] | None = None
    """Link to that licence."""
    language: tuple[str, ...] | None = None
    """Its languages."""
    base_model: tuple[str, ...] | None = None
    """Models that it was made from."""
    licences: tuple[str, ...] | None = None
    """Licences of the manifest, if a stage made its folder."""

    def __post_init__(self) -> None:
        if self.name is None and any(value is not None for value in vars(self).values()):
            raise ValueError("base.name is missing")


SCRATCH = BaseFacts()
"""The base of a model that began with random weights."""


@dataclass(frozen=True, kw_only=True)
class SourceTerms(Record):
    """Task, licences and languages of a source that a model was trained on."""

    task: str
    """Task of its documents."""
    licences: tuple[str, ...]
    """Terms of everything upstream."""
    languages: tuple[str, ...]
    """Languages of everything upstream."""


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """Origin of the weights of a run: its ``origin.json``."""

    base: BaseFacts | None
    """The model that was imported, or `SCRATCH`; null if nothing is recorded."""
    sources: dict[str, SourceTerms]
    """The data trained on, by name."""


@dataclass(frozen=True, kw_only=True)
class ImportedFacts(Record):
    """The part of `ImportFacts` on the imported model; older imports lack it."""

    base: BaseFacts | None = None
    """The model that was imported."""


@dataclass(frozen=True, kw_only=True)
class ImportFacts(Record):
    """A checkpoint made from a Hugging Face folder (kind ``checkpoint``)."""

    parameters: int
    """Weights of the model, padding of the embedding included."""
    base: BaseFacts
    """The model that was imported."""
    text_rows_read: int
    """Embedding rows of text ids that were read."""
    special_rows_read: int
    """Embedding rows of special ids that were read."""
    special_rows_drawn: int
    """Embedding rows of special ids that were drawn at random."""
    speech_rows_read: int
    """Embedding rows of speech ids that were read."""
    speech_rows_drawn: int
    """Embedding rows of speech ids that were drawn at random."""
    rows_padded: int
    """Embedding rows that stand for no id."""
    rows_left_out: int
    """Rows of the imported model that stand for no id here."""


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
    """Training step of the checkpoint; null where it does not say."""
    family: str
    """Model family, such as ``llama``."""
    parameters: int
    """Weights of the model."""
    vocabulary: str
    """Fingerprint of the vocabulary."""
    text_tokenizer: str | None = None
    """Name of the text tokenizer, where the vocabulary's manifest says it."""
    speech_tokenizer: NamedTokenizerFacts | None = None
    """The speech tokenizer, where the vocabulary's manifest says it."""
    files: dict[str, FileFacts]
    """Safetensors files by name."""


@dataclass(frozen=True, kw_only=True)
class TensorErrorFacts(Record):
    """The error of a tensor against its float32 reference."""

    relative_error: float
    """Length of the error over the length of the reference."""
    cosine: float
    """Cosine of the angle between both."""


@dataclass(frozen=True, kw_only=True)
class GradientErrorFacts(Record):
    """Errors of gradients in several number formats (kind ``gradient_error``)."""

    errors: dict[str, dict[str, TensorErrorFacts]]
    """By number format and part of the model."""
    step: int
    """Training step of the checkpoint."""
    targets: int
    """Targets that bore loss."""
