"""Archives of a web crawl: text records become documents, and an archive that is cut short is never taken for whole."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.records import RecordLayout, count_records, read_records

pytest.importorskip("warcio")
LAYOUT = RecordLayout(metadata_keys=("url",))


def write_archive(path: Path, *payloads: bytes, kind: str = "conversion") -> Path:
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "none"}))
        for number, payload in enumerate(payloads):
            url = f"https://a.example/{number}"
            record = writer.create_warc_record(url, kind, payload=io.BytesIO(payload), warc_content_type="text/plain")
            writer.write_record(record)
    return path


def test_conversion_records_are_documents(tmp_path: Path):
    archive = write_archive(tmp_path / "a.warc.wet.gz", b"one", "zw\u00f6lf".encode(), b"\xff\xfe", b"  ")
    found = [content for _, content in read_records(archive, LAYOUT)]
    assert [each.reason for each in found if isinstance(each, BadLine)] == ["not UTF-8", "no text"]
    documents = [each for each in found if not isinstance(each, BadLine)]
    assert [(each.text, each.metadata) for each in documents] == [
        ("one", {"url": "https://a.example/0"}),
        ("zw\u00f6lf", {"url": "https://a.example/1"}),
    ]
    assert documents[0].id.startswith("<urn:uuid:") and count_records(archive) == 4


def test_a_page_that_is_not_text_is_named(tmp_path: Path):
    archive = write_archive(tmp_path / "a.warc.gz", b"<html>", kind="resource")
    ((_, found),) = read_records(archive, LAYOUT)
    assert isinstance(found, BadLine) and found.reason == "not text"
    assert found.message == f"{archive}:1: a resource record, not text; give the crawl's WET files"


def test_an_archive_that_is_cut_or_damaged_is_named(tmp_path: Path):
    archive = write_archive(tmp_path / "a.warc.wet.gz", *(b"text %d " % n * 300 for n in range(4)))
    whole = archive.read_bytes()
    for cut in (1, 5, 20, 60, len(whole) // 2):
        archive.write_bytes(whole[:-cut])
        with pytest.raises(ValueError, match=r"a\.warc\.wet\.gz: damaged"):
            list(read_records(archive, LAYOUT))
    flipped = bytearray(whole)
    flipped[len(whole) // 2 + 20] ^= 255
    archive.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"a\.warc\.wet\.gz: damaged"):
        list(read_records(archive, LAYOUT))


@pytest.mark.parametrize("first", [0, 2, 9])
def test_a_range_of_a_file_is_the_same_part_of_the_whole(tmp_path: Path, first: int):
    lines = tmp_path / "a.jsonl"
    lines.write_text("".join(f'{{"id": "{n}", "text": "text {n}"}}\n' for n in range(7)))
    whole = list(read_records(lines, RecordLayout()))
    assert list(read_records(lines, RecordLayout(), first=first, end=5)) == whole[first:5]
    assert count_records(lines) == 7
