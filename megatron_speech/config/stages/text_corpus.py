"""Settings of one text corpus, shared by all tools that read text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.run.reader import SCHEMES


def is_corpus_url(path: str | Path) -> bool:
    """Whether a corpus is a URL rather than a local path."""
    return isinstance(path, str) and "://" in path


def _corpus_path(path: str | Path) -> str | Path:
    """Return a URL as text, restoring a slash that `Path` removed, else a path; ValueError for an unknown URL."""
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
    """One text corpus: a file of documents, or several such files."""

    path: str | Path
    """Where the documents are: a file, a folder, a pattern such as data/*.jsonl.gz (** crosses folders), or a URL (s3;
    http and https for single files). Files of a folder are read in alphabetical order. They are .jsonl, .jsonl.gz,
    .jsonl.zst or .parquet with one document per line or row, or web crawls (.warc.wet.gz, .warc.gz) with one per text
    record."""
    text_key: str = "text"
    """Key or column of the text."""
    id_key: str | None = "id"
    """Key or column of the document id, a string or integer, unique over all corpora. Null generates
    <corpus>/<file>:<line>."""
    metadata_keys: list[str] = field(default_factory=list)
    """Further keys or columns to keep, besides the object under the key metadata if there is one."""
    max_documents: int | None = None
    """Use only the first max_documents documents; null uses all. A limited corpus is one task."""
    licence: str | None = None
    """Licence of the texts, as an SPDX name or a link; recorded in the manifest."""
    language: str | None = None
    """Language of the texts, as a BCP 47 tag such as en; recorded in the manifest."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _corpus_path(self.path))
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents={self.max_documents} of {self.path} must be at least 1; null takes all")
