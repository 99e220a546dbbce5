"""Corpora of text: their columns, limits and kinds of files, and what is said of those that cannot be read."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.corpus.records import RecordLayout, TextDocument, read_records
from megatron_speech.corpus.text_tasks import text_tasks
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.tokenize_text.run import tokenize_text
from tests.toys import write_jsonl
from tests.unit.tokenize_text.toys import COUNTED, config_of, corpus_folder


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, vocabulary: Path):
    path = write_jsonl(tmp_path / "corpus" / "a.jsonl", {"id": "a", "text": "x"}, {"id": "b", "text": "y"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    tokenize_text(config_of(tmp_path))
    assert [document.key for document in read_documents(tmp_path / "documents")] == ["a", "b"]


def test_an_output_within_a_corpus_is_refused(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    with pytest.raises(ValueError, match=r"output=.*corpus/deep/out lies in corpora.web.path=.*corpus, where every"):
        tokenize_text(config_of(tmp_path, "corpus/deep/out"))


def test_ids_can_be_derived_and_columns_named(tmp_path: Path, vocabulary: Path):
    write_jsonl(
        tmp_path / "corpus" / "deep" / "a.jsonl", {"body": "x", "url": "u", "more": 1}, {"body": "y", "url": "v"}
    )
    corpus = TextCorpusConfig(path=tmp_path / "corpus", text_key="body", id_key=None, metadata_keys=["url"])
    tokenize_text(config_of(tmp_path, corpora={"web": corpus}))
    documents = list(read_documents(tmp_path / "documents"))
    assert [(d.key, d.meta) for d in documents] == [
        ("web/deep/a.jsonl:1", {"url": "u"}),
        ("web/deep/a.jsonl:2", {"url": "v"}),
    ]


def test_a_metadata_key_that_no_line_has_is_told(tmp_path: Path, vocabulary: Path, caplog: pytest.LogCaptureFixture):
    path = write_jsonl(tmp_path / "corpus" / "a.jsonl", "{", {"id": "1", "text": "x"}, {"id": "2", "text": "y", "u": 1})
    corpus = TextCorpusConfig(path=tmp_path / "corpus", metadata_keys=["u", "url"])
    tokenize_text(config_of(tmp_path, corpora={"web": corpus}, **COUNTED))
    (told,) = [message for message in caplog.messages if "metadata_keys" in message]
    assert told.startswith("corpora.web.metadata_keys: 'url' does not occur in the first 100 lines")
    assert f"{path}, which have the keys id, text, u;" in told


def test_a_limit_holds_over_all_files_of_a_corpus(tmp_path: Path, vocabulary: Path):
    corpus = TextCorpusConfig(path=corpus_folder(tmp_path / "corpus"), max_documents=5)
    tokenize_text(config_of(tmp_path, corpora={"web": corpus}))
    assert [d.key for d in read_documents(tmp_path / "documents")] == ["0-0", "0-1", "0-2", "0-3", "1-0"]


def test_packed_files_are_read_and_a_truncated_one_is_named(tmp_path: Path):
    lines = b"".join(json.dumps({"id": str(n), "text": f"{n} " * 500}).encode() + b"\n" for n in range(200))
    packed = {"gz": gzip.compress(lines)}
    try:
        import zstandard

        frames = [zstandard.compress(part) for part in (lines[:5000], lines[5000:])]
        packed["zst"] = b"".join(frames)
    except ImportError:  # said below, by the test for its absence
        pass
    for kind, data in packed.items():
        path = tmp_path / f"c.jsonl.{kind}"
        path.write_bytes(data)
        found = [document for _, document in read_records(path, RecordLayout())]
        assert [d.id for d in found if isinstance(d, TextDocument)] == [str(n) for n in range(200)]
        for size in (len(data) // 2, len(data) - 3):
            path.write_bytes(data[:size])
            with pytest.raises(ValueError, match=rf"c.jsonl.{kind}: damaged or truncated"):
                list(read_records(path, RecordLayout()))


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for kind, module in (("jsonl.zst", "zstandard"), ("parquet", "pyarrow")):
        monkeypatch.setitem(sys.modules, module, None)
        (tmp_path / f"c.{kind}").write_bytes(b"x")
        with pytest.raises(ValueError, match=rf"{module}; pip install 'megatron-speech\[corpus\]'"):
            list(read_records(tmp_path / f"c.{kind}", RecordLayout()))


def test_parquet_columns_become_documents(tmp_path: Path, vocabulary: Path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra [corpus]")
    from pyarrow import parquet

    (tmp_path / "corpus").mkdir()
    rows = {"text": ["a", None, "c"], "id": ["1", "2", "3"], "score": [0.5, 1.5, 2.5], "other": [1, 2, 3]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "corpus" / "a.parquet")
    corpus = TextCorpusConfig(path=tmp_path / "corpus", metadata_keys=["score"])
    tokenize_text(config_of(tmp_path, corpora={"web": corpus}, **COUNTED))
    assert [(d.key, d.meta) for d in read_documents(tmp_path / "documents")] == [
        ("1", {"score": 0.5}),
        ("3", {"score": 2.5}),
    ]
    with pytest.raises(ValueError, match=r"a.parquet:2: text=None must be a string"):
        tokenize_text(config_of(tmp_path, "strict", corpora={"web": corpus}))
    lacking = TextCorpusConfig(path=tmp_path / "corpus", text_key="body")
    with pytest.raises(ValueError, match=r"a.parquet: no column 'body' among text, id, score, other"):
        tokenize_text(config_of(tmp_path, "lacking", corpora={"web": lacking}))
    (tmp_path / "corpus" / "a.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(ValueError, match=r"a.parquet: damaged, or no Parquet file"):
        tokenize_text(config_of(tmp_path, "broken", corpora={"web": corpus}))


def test_unusable_corpora_are_named(tmp_path: Path, vocabulary: Path):
    (tmp_path / "corpus").mkdir()
    with pytest.raises(FileNotFoundError, match=r"corpora.web.path=.*corpus holds no file that ends in .jsonl"):
        tokenize_text(config_of(tmp_path))
    (tmp_path / "c.txt").write_text("x")
    with pytest.raises(ValueError, match=r"corpora.web.path=.*c.txt must end in one of .jsonl"):
        text_tasks({"web": TextCorpusConfig(path=tmp_path / "c.txt")})
    with pytest.raises(FileNotFoundError, match=r"corpora.web.path=.*gone does not exist"):
        text_tasks({"web": TextCorpusConfig(path=tmp_path / "gone")})
