"""The interface of corpus readers: a `RecordReader` reads the records of one kind of file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from megatron_speech.corpus.remote_file import RemoteFile

CorpusFile = Path | RemoteFile


class RecordKeys(Protocol):
    """Keys of a record that hold text, id and metadata."""

    @property
    def text_key(self) -> str:
        """Key of the text."""

    @property
    def id_key(self) -> str | None:
        """Key of the id; None derives ids from the place of the record."""

    @property
    def metadata_keys(self) -> Sequence[str]:
        """Further keys to keep."""


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """A line or row that is not a valid document."""

    reason: str
    """Kind of defect in a few words; bad lines are counted by it."""
    message: str
    """Full message with file, line, rule and remedy."""


RawRecord = bytes | dict[str, Any] | BadLine | ValueError
"""One line of JSON, an object, or (if the record cannot be read) the error or `BadLine` that describes its defect."""


@dataclass(frozen=True, kw_only=True)
class RecordReader:
    """Functions that read files of one kind."""

    records: Callable[[CorpusFile, RecordKeys], Iterator[RawRecord]]
    """All records in file order; raises EOFError or ValueError if the file is damaged."""
    count: Callable[[CorpusFile], int] | None = None
    """Number of records; None if counting needs reading them."""
    require_keys: Callable[[CorpusFile, RecordKeys], None] | None = None
    """Raise ValueError for a missing key; None if this needs reading the records."""
