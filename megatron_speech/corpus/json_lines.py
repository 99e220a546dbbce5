"""Read JSON lines, compressed or not. Parsing comes later, so lines before a task are not parsed."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator

from megatron_speech.corpus.compressed_lines import open_lines
from megatron_speech.corpus.interface import CorpusFile, RecordKeys, RecordReader


def read_lines(path: CorpusFile, keys: RecordKeys) -> Iterator[bytes]:
    """Lines of the file at `path`, without a byte order mark."""
    with open_lines(path) as lines:
        yield from (line.removeprefix(BOM_UTF8) if not number else line for number, line in enumerate(lines))


JSON_LINES = RecordReader(records=read_lines)
