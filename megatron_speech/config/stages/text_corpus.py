"""Settings of one text corpus, for every tool that reads such."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.run.reader import SCHEMES


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
