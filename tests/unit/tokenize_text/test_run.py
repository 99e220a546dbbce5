"""Tokenizing text: the shards depend on the files alone, and whatever is left out is counted and named."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.inspection.shards import IndexShardsConfig
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.corpus.records import RecordLayout, TextDocument, read_records
from megatron_speech.corpus.text_tasks import text_tasks
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.rebuild import index_shards
from megatron_speech.data.shards.repeated_ids import IdLog, require_distinct
from megatron_speech.data.shards.verify import verify_folder
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.tokenize_text.steps import CorpusReader, TokenShardWriter
from tests.toys import killed_when_a_shard_is_moved, write_jsonl

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=4))
    return tmp_path / "vocabulary"


def corpus_folder(folder: Path, *, files: int = 3, documents: int = 4) -> Path:
    for file in range(files):
        lines = [{"id": f"{file}-{n}", "text": f"text {n} of file {file}"} for n in range(documents)]
        write_jsonl(folder / f"part-{file}.jsonl", *lines)
    return folder


def config_of(tmp_path: Path, output: str = "documents", run: dict[str, Any] | None = None, **changes: Any):
    corpus = TextCorpusConfig(path=tmp_path / "corpus", licence="CC0-1.0", language="en")
    settings = {"corpora": {"web": corpus}, "vocabulary": tmp_path / "vocabulary", "shard_tokens": 40, **changes}
    return TokenizeTextConfig(output=tmp_path / output, run=SpreadConfig(**(run or {})), **settings)


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder but its manifest, which names paths."""
    files = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_jobs_and_workers_change_no_byte(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    tokenize_text(config_of(tmp_path, "one"))
    tokenize_text(config_of(tmp_path, "two", {"workers": 2}))
    for job in (1, 0, 2, 3):  # more jobs than tasks, in any order, one of them twice
        tokenize_text(config_of(tmp_path, "jobs", {"part": "tasks", "job": job, "jobs": 4}))
    tokenize_text(config_of(tmp_path, "jobs", {"part": "tasks", "job": 1, "jobs": 4}))
    tokenize_text(config_of(tmp_path, "jobs", {"part": "finish"}))
    for part in ("tasks", "finish"):  # requeued when all was done
        tokenize_text(config_of(tmp_path, "jobs", {"part": part}))
    assert digest(tmp_path / "one") == digest(tmp_path / "two") == digest(tmp_path / "jobs")
    manifests = [read_manifest(tmp_path / name) for name in ("one", "two", "jobs")]
    assert manifests[0].facts == manifests[1].facts == manifests[2].facts
    assert not list(tmp_path.glob("*.tasks")) and not list(tmp_path.glob("*.partial"))
    keys = [document.key for document in read_documents(tmp_path / "one")]
    assert keys == [f"{file}-{n}" for file in range(3) for n in range(4)]
    facts = manifests[0].facts["corpora"]["web"]
    text = sum(len(f"text {n} of file {file}") for file in range(3) for n in range(4))
    counts = {"files": 3, "empty_tasks": 0, "documents": 12, "tokens": text, "text_bytes": text, "dropped": {}}
    loss = {"documents_checked": 12, "characters_checked": text, "documents_changed": 0, "characters_lost": 0}
    loss |= {"unknown_tokens": 0, "most_lost": {}}
    assert facts == {"licence": "CC0-1.0", "language": "en", **counts, "text_loss": loss}


def test_grouped_files_share_shards(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    tokenize_text(config_of(tmp_path, files_per_task=2, shard_tokens=1 << 20))
    assert sorted(path.name for path in (tmp_path / "documents").glob("*.tar")) == [
        "text-00000-000000.tar",
        "text-00001-000000.tar",
    ]


def test_finishing_names_the_task_that_is_missing(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    tokenize_text(config_of(tmp_path, run={"part": "tasks", "job": 0, "jobs": 3}))
    with pytest.raises(ValueError, match=r"tasks/00001 is not made: task 1 \(web: part-1.jsonl\) has not run"):
        tokenize_text(config_of(tmp_path, run={"part": "finish"}))
    write_jsonl(tmp_path / "corpus" / "part-.jsonl", {"id": "new", "text": "x"})  # moves all files by one
    with pytest.raises(ValueError, match="files were added or removed"):
        tokenize_text(config_of(tmp_path, run={"part": "finish"}))


def test_tasks_of_another_vocabulary_are_not_joined(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    for job in range(3):
        tokenize_text(config_of(tmp_path, run={"part": "tasks", "job": job, "jobs": 3}))
    manifest = json.loads((vocabulary / "manifest.json").read_text())
    (vocabulary / "manifest.json").write_text(json.dumps({**manifest, "facts": {"rebuilt": True}}))
    with pytest.raises(ValueError, match=r"tasks/00000 was made with another vocabulary than .* is now; run it again"):
        tokenize_text(config_of(tmp_path, run={"part": "finish"}))
    assert not (tmp_path / "documents").exists() and (tmp_path / "documents.tasks").exists()


def test_a_file_that_changed_after_its_task_is_named(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    for job in range(3):
        tokenize_text(config_of(tmp_path, run={"part": "tasks", "job": job, "jobs": 3}))
    with (tmp_path / "corpus" / "part-1.jsonl").open("a") as file:
        file.write('{"id": "late", "text": "late"}\n')
    with pytest.raises(
        ValueError, match=r"part-1.jsonl changed after .*tasks/00001 was made from it; run task 1 again"
    ):
        tokenize_text(config_of(tmp_path, run={"part": "finish"}))


def test_the_index_of_joined_tasks_is_made_again(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    tokenize_text(config_of(tmp_path))
    listed = (tmp_path / "documents" / "shards.json").read_bytes()
    (tmp_path / "documents" / "shards.json").unlink()
    index_shards(IndexShardsConfig(folder=tmp_path / "documents"))
    assert (tmp_path / "documents" / "shards.json").read_bytes() == listed


def test_a_changed_file_is_tokenized_again(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    for job in range(3):
        tokenize_text(config_of(tmp_path, run={"part": "tasks", "job": job, "jobs": 3}))
    write_jsonl(tmp_path / "corpus" / "part-1.jsonl", {"id": "other", "text": "changed"})
    tokenize_text(config_of(tmp_path))
    assert [d.key for d in read_documents(tmp_path / "documents")][4] == "other"
    tokenize_text(config_of(tmp_path))  # is skipped
    write_jsonl(tmp_path / "corpus" / "part-1.jsonl", {"id": "third", "text": "changed"})
    with pytest.raises(ValueError, match="made with another inputs"):
        tokenize_text(config_of(tmp_path))


def test_shards_that_a_killed_join_moved_are_neither_deleted_nor_lost(
    tmp_path: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch
):
    corpus_folder(tmp_path / "corpus")
    tokenize_text(config_of(tmp_path, "whole"))
    with killed_when_a_shard_is_moved(monkeypatch):
        tokenize_text(config_of(tmp_path))
    with pytest.raises(ValueError, match=r"documents.partial was begun with config.shard_tokens: 40 -> 41; restore"):
        tokenize_text(config_of(tmp_path, shard_tokens=41))
    shutil.rmtree(tmp_path / "documents.partial")  # as the message offers
    with pytest.raises(FileNotFoundError, match=r"text-00000-000000.tar is gone; run the tasks again"):
        tokenize_text(config_of(tmp_path, run={"part": "finish"}))
    tokenize_text(config_of(tmp_path))
    assert digest(tmp_path / "documents") == digest(tmp_path / "whole")


COUNTED: dict[str, Any] = {"on_bad_line": "count", "max_quarantined_share": 1.0}
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


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, vocabulary: Path):
    path = write_jsonl(tmp_path / "corpus" / "a.jsonl", {"id": "a", "text": "x"}, {"id": "b", "text": "y"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    tokenize_text(config_of(tmp_path))
    assert [document.key for document in read_documents(tmp_path / "documents")] == ["a", "b"]


def test_an_output_within_a_corpus_is_refused(tmp_path: Path, vocabulary: Path):
    corpus_folder(tmp_path / "corpus")
    with pytest.raises(ValueError, match=r"output=.*corpus/deep/out lies in corpora.web.path=.*corpus, where every"):
        tokenize_text(config_of(tmp_path, "corpus/deep/out"))


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


@pytest.mark.parametrize(("first", "second"), [(7, "7"), ("7", 7), (7, 7)])
def test_ids_that_are_numbers_repeat_as_text(tmp_path: Path, vocabulary: Path, first: object, second: object):
    write_jsonl(tmp_path / "corpus" / "a.jsonl", {"id": first, "text": "x"}, {"id": second, "text": "y"})
    with pytest.raises(ValueError, match=r"a.jsonl:2: its id already stands at .*a.jsonl:1"):
        tokenize_text(config_of(tmp_path))


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


def test_filters_of_datatrove_stand_between_the_steps(tmp_path: Path, vocabulary: Path):
    tasks = text_tasks({"web": TextCorpusConfig(path=corpus_folder(tmp_path / "corpus", files=1))})
    reader = CorpusReader(tasks, on_bad_line="error")
    writer = TokenShardWriter(reader, folder=tmp_path / "out", vocabulary=vocabulary, name="text", shard_tokens=100)
    steps = [reader, LambdaFilter(lambda document: not document.id.endswith("2")), writer]
    LocalPipelineExecutor(steps, tasks=1, logging_dir=str(tmp_path / "log")).run()
    assert [d.key for d in read_documents(tmp_path / "out" / "00000")] == ["0-0", "0-1", "0-3"]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_ends_the_same(tmp_path: Path, vocabulary: Path, workers: int):
    corpus_folder(tmp_path / "corpus", files=6, documents=300)
    tokenize_text(config_of(tmp_path, "whole", shard_tokens=1000))
    command = [sys.executable, str(ROOT / "tools" / "tokenize_text.py"), "--vocabulary", str(vocabulary)]
    command += [
        "--corpora",
        json.dumps({"web": {"path": str(tmp_path / "corpus"), "licence": "CC0-1.0", "language": "en"}}),
    ]
    command += ["--output", str(tmp_path / "killed"), "--shard_tokens", "1000", "--run.workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    running = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 900
    while not list((tmp_path / "killed.tasks").glob("*/manifest.json")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)  # after the first task, in the middle of another; its workers learn of it later
    assert running.wait() == -signal.SIGKILL, "it ended before it could be killed"
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")
