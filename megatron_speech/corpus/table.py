"""Corpus readers by the ending of a file's name. A new reader needs one file and one line here."""

from __future__ import annotations

from megatron_speech.corpus.interface import CorpusFile, RecordReader
from megatron_speech.corpus.json_lines import JSON_LINES
from megatron_speech.corpus.parquet_rows import PARQUET
from megatron_speech.corpus.web_archives import WEB_ARCHIVE

READERS: dict[str, RecordReader] = {
    ".jsonl": JSON_LINES,
    ".jsonl.gz": JSON_LINES,
    ".jsonl.zst": JSON_LINES,
    ".parquet": PARQUET,
    ".warc.wet.gz": WEB_ARCHIVE,
    ".warc.gz": WEB_ARCHIVE,
}
"""Reader by ending. Files of a folder with other endings are skipped."""


def reader_of(path: CorpusFile) -> RecordReader:
    """The reader of the file at `path`; JSON lines for any other ending (a file given by its full name)."""
    return next((reader for ending, reader in READERS.items() if path.name.endswith(ending)), JSON_LINES)
