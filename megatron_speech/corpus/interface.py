"""The interface of corpus readers: a `RecordReader` reads the records of one kind of file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from megatron_speech.corpus.remote_file import RemoteFile

CorpusFile = Path | RemoteFile


class RecordKeys(Protocol):
    """The keys of a record that are read."""

    @property
    def text_key(self) -> str:
        """Key of the text."""

    @property
    def id_key(self) -> str | None:
        """Key of the id; None where ids are derived from the place of the record."""

    @property
    def metadata_keys(self) -> Sequence[str]:
        """Further keys that are kept."""


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """A line or row that is no document."""

    reason: str
    """What is wrong, in a few words that do not depend on the line: the key it is counted under."""
    message: str
    """The whole truth, with file, line, rule and remedy."""


RawRecord = bytes | dict[str, Any] | BadLine | ValueError
"""One line of JSON; or an object; or, instead of a record that cannot be read, what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class RecordReader:
    """How files of one kind are read."""

    records: Callable[[CorpusFile, RecordKeys], Iterator[RawRecord]]
    """All records in file order; EOFError or ValueError where the file is damaged."""
    count: Callable[[CorpusFile], int] | None = None
    """Number of records, where that costs less than reading them."""
    require_keys: Callable[[CorpusFile, RecordKeys], None] | None = None
    """Raise ValueError for a key that the file does not have, where that is known without reading its records."""
