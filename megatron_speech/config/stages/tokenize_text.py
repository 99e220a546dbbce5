"""From text to shards of tokens: what the vocabulary and tokenizing tools are told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.run.reader import SCHEMES


@dataclass(frozen=True, kw_only=True)
class BuildVocabularyConfig:
    """One id space of a text tokenizer, the task and audio specials, and a speech tokenizer's codes."""

    output: Path
    """Vocabulary folder to make: vocabulary.json and an extended Hugging Face tokenizer."""
    text: str = "bytes"
    """'bytes', a Hugging Face folder with tokenizer.json, or a SentencePiece model file. Tokens of ours that it has
    (an export of this project, a model with tokens for audio) keep their ids."""
    end_of_document: str | None = None
    """Text token that closes every document; null for the text tokenizer's own end-of-sequence token."""
    begin_of_document: list[str] | None = None
    """Text tokens that begin every document; null for those that the text tokenizer itself puts before a text (as the
    base model was trained), [] for none."""
    speech_tokenizer: Path | None = None
    """Speech tokenizer folder, whose manifest states codebook_size and fingerprint."""
    codebook_size: int | None = None
    """Number of speech ids, where there is no speech_tokenizer folder."""
    speech_fingerprint: str = ""
    """Identity of the speech tokenizer, where there is no folder to ask."""
    spelling: Literal["letters", "sounds"] = "letters"
    """What a text-to-token model is to read: the letters of a text, or its sounds by an English pronouncing dictionary
    (one ASCII character each: keep text at 'bytes'). Letters for any other model."""
    speakers: list[str] = field(default_factory=list)
    """Voices that a text-to-token model is to tell apart, each with a special token; empty for none."""
    max_lost_share: float = 0.1
    """Refuse a text tokenizer that loses more than this share of the characters of texts in ten scripts (no bytes to
    fall back on, say); what it loses is in the manifest. 1 takes any."""
    padding_multiple: int | None = None
    """The embedding has a multiple of this many rows; every tensor parallel size in use must divide it. null: 128, or
    as in the vocabulary that an export given as text was made with."""

    def __post_init__(self) -> None:
        if (self.speech_tokenizer is None) == (self.codebook_size is None):
            raise ValueError(
                f"speech_tokenizer={self.speech_tokenizer} and codebook_size={self.codebook_size}: "
                "give exactly one of them (codebook_size=0 for text alone)"
            )
        require_bounds("codebook_size", self.codebook_size, 0, 1 << 20, "use 0 for text alone")
        if self.spelling == "sounds" and self.text != "bytes":
            raise ValueError(
                f"spelling=sounds writes one ASCII character per sound, for which text={self.text} has no use; "
                "set text: bytes, or spelling: letters"
            )
        require_bounds("max_lost_share", self.max_lost_share, 0, 1, "0.1 is usual")
        for name in self.speakers:
            if not re.fullmatch(r"[\w.-]+", name) or self.speakers.count(name) > 1:
                raise ValueError(
                    f"speakers={self.speakers}: {name!r} must be of letters, digits, '_', '.' and '-', and stand once; "
                    "rename it or leave it out"
                )
        require_bounds("padding_multiple", self.padding_multiple, 1, 1 << 20, "128 suits most layouts")


def is_corpus_url(path: str | Path) -> bool:
    """Whether a corpus lies at a URL, and not on this machine."""
    return isinstance(path, str) and "://" in path


def _corpus_path(path: str | Path) -> str | Path:
    """A URL as text, though a `Path` has taken one of its slashes, else a path; ValueError for an unknown URL."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)", str(path))
    if found is None or (not found[2] and isinstance(path, str)):
        return Path(path)
    url = f"{found[1].lower()}://{str(path)[found.end() :].lstrip('/')}"
    if found[1].lower() not in SCHEMES:
        if not found[2]:
            return Path(path)
        raise ValueError(f"path={url}: no path and none of the URLs {', '.join(SCHEMES)}; copy it to a disk")
    return url


@dataclass(frozen=True, kw_only=True)
class TextCorpusConfig:
    """One text corpus: a file of documents, or a folder of such files."""

    path: str | Path
    """A .jsonl, .jsonl.gz, .jsonl.zst or .parquet file with one document per line or row, a crawl's .warc.wet.gz or
    .warc.gz file with one per text record, a folder, of which all such files are read in the order of their names, or a
    pattern such as data/*.jsonl.gz (** crosses folders). Or the URL of one (http and https: a file; s3)."""
    text_key: str = "text"
    """Key or column that holds the text."""
    id_key: str | None = "id"
    """Key or column that holds the document's id, a string or an integer, unique over all corpora; null:
    <corpus>/<file>:<line>."""
    metadata_keys: list[str] = field(default_factory=list)
    """Further keys or columns kept with the document, beside an object named metadata where there is one."""
    max_documents: int | None = None
    """Take the first so many documents; null takes all. A limited corpus is one task."""
    licence: str | None = None
    """Licence of the texts, as an SPDX name or a link; goes into the manifest."""
    language: str | None = None
    """Language of the texts, as a BCP 47 tag such as en; goes into the manifest."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _corpus_path(self.path))
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents={self.max_documents} of {self.path} must be at least 1; null takes all")


@dataclass(frozen=True, kw_only=True)
class SpreadConfig:
    """How the work of a tokenizing tool is spread. Nothing here changes the shards."""

    workers: int = 1
    """Processes on this machine; each works on one task at a time with its share of the cores."""
    part: Literal["all", "count", "tasks", "finish"] = "all"
    """'all' does everything; for array jobs: 'count' prints the number of tasks, 'tasks' does this job's share of them,
    'finish' joins what the jobs made (slurm/tokenize_text.sbatch and the like)."""
    job: int = 0
    """Number of this job among `jobs`, from 0."""
    jobs: int = 1
    """Jobs that share the tasks."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"run.workers={self.workers} must be at least 1; 1 uses all cores by threads")
        if not 0 <= self.job < self.jobs:
            raise ValueError(f"run.job={self.job} must lie in 0..run.jobs - 1={self.jobs - 1}; give the array's index")


@dataclass(frozen=True, kw_only=True)
class TokenizeTextConfig:
    """Text corpora to document shards."""

    corpora: dict[str, TextCorpusConfig]
    """Corpora by name, read in this order; document ids must differ between them."""
    vocabulary: Path
    """Vocabulary folder (tools/build_vocabulary.py)."""
    output: Path
    """Folder of document shards to make; the parts lie in <output>.tasks until all are done."""
    name: str = "text"
    """Beginning of every shard's file name, before the number of the task."""
    shard_tokens: int = 1 << 28
    """Tokens per shard; 2^28 make 1 GiB."""
    files_per_task: int = 1
    """Consecutive files of a corpus in one task. Every task begins a shard: raise it for many small files."""
    on_bad_line: Literal["error", "count"] = "error"
    """A line or row that is no document: 'error' names it and stops, 'count' leaves it out, lists it in dropped.jsonl
    and counts it by reason in the manifest. An id that repeats is always an error."""
    max_quarantined_share: float = 0.01
    """Stop where 'count' leaves out more than this share of a corpus's lines (and more than one)."""
    max_lost_share: float = 0.01
    """Stop where more than this share of a corpus's characters does not come back from the ids (unknown to the text
    tokenizer, or changed by it); measured on a sample of the documents, counted in the manifest."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is spread over processes and jobs; no part of the result."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora={} names no corpus; give at least one as name: {path: file.jsonl}")
        for key in ("shard_tokens", "files_per_task"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)} must be at least 1; leave it out for the default")
        for key in ("max_quarantined_share", "max_lost_share"):
            require_bounds(key, getattr(self, key), 0, 1, "0.01 is usual")
