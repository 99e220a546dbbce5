"""What tokenizing text leaves out: it is counted by reason and listed, bounded, and never an id that is there twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.inspection.shards import IndexShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.rebuild import index_shards
from megatron_speech.data.shards.repeated_ids import IdLog, require_distinct
from megatron_speech.data.shards.verify import verify_folder
from megatron_speech.tokenize_text.run import tokenize_text
from tests.toys import write_jsonl
from tests.unit.tokenize_text.toys import COUNTED, config_of, corpus_folder

BAD = [
    "{",
    "[1]",
    {"id": "t", "text": " "},
    {"id": 3.5, "text": "x"},
    {"id": "m", "text": "x", "metadata": []},
    "\ufffd",
]
REASONS = {"metadata": 1, "no id": 1, "no object": 1, "no text": 1, "not JSON": 1, "not UTF-8": 1}


def test_bad_lines_are_counted_by_reason_and_listed(tmp_path: Path, vocabulary: Path):
    path = write_jsonl(tmp_path / "corpus" / "a.jsonl", {"id": "a", "text": "x"}, *BAD, {"id": "b", "text": "y"})
    path.write_bytes(path.read_bytes().replace("\ufffd".encode(), b"\xff"))  # not UTF-8
    tokenize_text(config_of(tmp_path, **COUNTED))
    assert [document.key for document in read_documents(tmp_path / "documents")] == ["a", "b"]
    assert read_manifest(tmp_path / "documents").facts["corpora"]["web"]["dropped"] == REASONS
    listed = [json.loads(line) for line in (tmp_path / "documents" / "dropped.jsonl").read_text().splitlines()]
    assert [line["message"].split(": ")[0] for line in listed] == [f"{path}:{number}" for number in range(2, 8)]
    with pytest.raises(ValueError, match=r"a.jsonl:2: not JSON"):
        tokenize_text(config_of(tmp_path, "strict"))


def test_too_many_bad_lines_end_the_work_and_a_raised_share_goes_on(
    tmp_path: Path, vocabulary: Path, caplog: pytest.LogCaptureFixture
):
    lines: list[Any] = [{"id": n, "text": "x"} for n in range(98)]
    write_jsonl(tmp_path / "corpus" / "a.jsonl", *lines, "{", "[]")
    rule = r"2 of 100 lines are unusable \(no object 1, not JSON 1\), more than max_quarantined_share=0.01; .*:99"
    with pytest.raises(ValueError, match=rule):
        tokenize_text(config_of(tmp_path, on_bad_line="count"))
    assert not (tmp_path / "documents").exists()
    made = next((tmp_path / "documents.tasks").glob("*/*.tar")).stat().st_mtime_ns
    with caplog.at_level("INFO"):
        tokenize_text(config_of(tmp_path, on_bad_line="count", max_quarantined_share=0.02))
    assert next((tmp_path / "documents").glob("*.tar")).stat().st_mtime_ns == made, "nothing is encoded again"
    assert caplog.messages[-1].endswith("98 documents, 98 tokens; lines left out: no object 1, not JSON 1")
    tokenize_text(config_of(tmp_path, on_bad_line="count"))  # what is made is made, whatever was allowed


def test_a_corpus_of_bad_lines_ends_early(tmp_path: Path, vocabulary: Path):
    good: list[Any] = [{"id": n, "text": "x"} for n in range(990)]
    write_jsonl(tmp_path / "corpus" / "a.jsonl", *good, *["{"] * 9000)
    with pytest.raises(ValueError, match=r"11 of 1001 lines are unusable \(not JSON 11\)"):
        tokenize_text(config_of(tmp_path, on_bad_line="count"))
    write_jsonl(tmp_path / "other" / "small.jsonl", {"id": "s", "text": "x"}, "{", "{")
    corpora = {"large": TextCorpusConfig(path=tmp_path / "good"), "small": TextCorpusConfig(path=tmp_path / "other")}
    write_jsonl(tmp_path / "good" / "a.jsonl", *good)
    with pytest.raises(ValueError, match=r"2 of 3 lines are unusable"):  # a small corpus does not hide in a large one
        tokenize_text(config_of(tmp_path, "small", corpora=corpora, on_bad_line="count"))


@pytest.mark.parametrize("empty", ["first", "last"])
def test_an_empty_file_is_counted_and_changes_no_other(
    tmp_path: Path, vocabulary: Path, empty: str, caplog: pytest.LogCaptureFixture
):
    corpus_folder(tmp_path / "corpus", files=2)
    names = {"first": ("a.jsonl", "b.jsonl"), "last": ("y.jsonl", "z.jsonl")}[empty]
    write_jsonl(tmp_path / "corpus" / names[0])
    write_jsonl(tmp_path / "corpus" / names[1], "{", "[1]")  # nothing but bad lines
    tokenize_text(config_of(tmp_path, **COUNTED))
    keys = [document.key for document in read_documents(tmp_path / "documents")]
    assert keys == [f"{file}-{n}" for file in range(2) for n in range(4)]
    facts = read_manifest(tmp_path / "documents").facts["corpora"]["web"]
    assert (facts["files"], facts["empty_tasks"], facts["documents"]) == (4, 2, 8)
    assert facts["dropped"] == {"no object": 1, "not JSON": 1}
    assert f"{tmp_path / 'corpus' / names[1]}: no document, 2 lines left out" in caplog.text
    assert list(verify_folder(tmp_path / "documents", ids=True)) == []
    listed = (tmp_path / "documents" / "shards.json").read_bytes()
    (tmp_path / "documents" / "shards.json").unlink()
    index_shards(IndexShardsConfig(folder=tmp_path / "documents"))
    assert (tmp_path / "documents" / "shards.json").read_bytes() == listed


def test_a_corpus_without_any_document_is_named(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    bad = [write_jsonl(tmp_path / "bad" / f"{name}.jsonl", *lines) for name, lines in (("a", []), ("b", ["{", "{"]))]
    corpora = {"web": TextCorpusConfig(path=tmp_path / "corpus"), "bad": TextCorpusConfig(path=bad[0].parent)}
    rule = r"corpora\.bad\.path=.*bad: none of its 2 files \(a\.jsonl, b\.jsonl\) holds a document.*\(not JSON 2\)"
    with pytest.raises(ValueError, match=rule):
        tokenize_text(config_of(tmp_path, corpora=corpora, **COUNTED))
    assert not (tmp_path / "documents").exists()
    del corpora["bad"]
    tokenize_text(config_of(tmp_path, corpora=corpora, **COUNTED))  # what is done is done


@pytest.mark.parametrize(("first", "second"), [(7, "7"), ("7", 7), (7, 7)])
def test_ids_that_are_numbers_repeat_as_text(tmp_path: Path, vocabulary: Path, first: object, second: object):
    write_jsonl(tmp_path / "corpus" / "a.jsonl", {"id": first, "text": "x"}, {"id": second, "text": "y"})
    with pytest.raises(ValueError, match=r"a.jsonl:2: its id already stands at .*a.jsonl:1"):
        tokenize_text(config_of(tmp_path))


@pytest.mark.parametrize("files_per_task", [1, 2])
def test_a_repeated_id_is_an_error_under_any_policy(tmp_path: Path, vocabulary: Path, files_per_task: int):
    corpus_folder(tmp_path / "corpus", files=2)
    write_jsonl(tmp_path / "corpus" / "part-1.jsonl", {"id": "new", "text": "x"}, {"id": "0-2", "text": "x"})
    with pytest.raises(ValueError, match=r"part-1.jsonl:2: its id already stands at .*part-0.jsonl:3"):
        tokenize_text(config_of(tmp_path, **COUNTED, files_per_task=files_per_task))
    assert not (tmp_path / "documents").exists()


def test_repeats_are_found_whatever_the_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("megatron_speech.data.shards.repeated_ids.RANGE_IDS", 3)
    folders = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        ids = IdLog()
        for line in range(20):
            ids.add(f"{number}-{line}", file=number, line=line)
        if number:
            ids.add("0-7", file=5, line=99)
        ids.save(folder)
    require_distinct(folders[:1], lambda *place: str(place))
    with pytest.raises(ValueError, match=r"\(1, 5, 99\): its id already stands at \(0, 0, 7\)"):
        require_distinct(folders, lambda *place: str(place))
