"""Read the text of web crawl archives: each conversion record of a WET file is one document.

    {"id": "<urn:uuid:...>", "text": "...", "url": "https://...", "date": "2024-05-18T12:01:02Z"}

warcio parses the records, but notices neither truncation nor wrong checksums. So Python's gzip decompresses the file,
which checks both, and the length of every record is compared with its header. (datatrove's WarcReader silently skips
records and guesses encodings.)

Records about the crawl itself (warcinfo, requests, metadata) are skipped; a raw page (WARC response) is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from megatron_speech.corpus.compressed_lines import open_lines
from megatron_speech.corpus.interface import CorpusFile, RecordKeys, RecordReader


def read_archive(path: CorpusFile, keys: RecordKeys) -> Iterator[dict[str, Any] | ValueError]:
    """Documents of the archive at `path`; an error takes the place of a record that is not UTF-8 text.

    Raises:
        EOFError: the file is truncated.
        ValueError: warcio is not installed, or the file is not an archive.
    """
    try:
        from warcio.archiveiterator import ArchiveIterator
        from warcio.exceptions import ArchiveLoadFailed
    except ImportError as error:
        raise ValueError(f"{path}: reading WARC needs warcio; pip install 'megatron-speech[corpus]'") from error
    with open_lines(path) as lines:
        try:
            for record in ArchiveIterator(lines):
                if record.rec_type in ("conversion", "response", "resource"):
                    yield _document(record)
            lines.read()  # warcio stops at the last record; the checksum follows it
        except ArchiveLoadFailed as error:
            raise ValueError(f"{path}: damaged, or no WARC file ({error}); restore the file") from error


def _document(record: Any) -> dict[str, Any] | ValueError:
    headers = record.rec_headers
    if record.rec_type != "conversion":
        return ValueError(f"a {record.rec_type} record, not text; give the crawl's WET files")
    content = record.content_stream().read()
    if len(content) != int(headers.get_header("Content-Length") or 0):
        raise EOFError(f"a record of {headers.get_header('Content-Length')} bytes has {len(content)}")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return error
    names = {"id": "WARC-Record-ID", "url": "WARC-Target-URI", "date": "WARC-Date"}
    return {"text": text, **{key: headers.get_header(name) for key, name in names.items()}}


WEB_ARCHIVE = RecordReader(records=read_archive)
