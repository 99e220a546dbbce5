"""Tokenizing text in tasks: the shards depend on the files alone, and a task that is stale or missing is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.inspection.shards import IndexShardsConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.corpus.text_tasks import text_tasks
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.rebuild import index_shards
from megatron_speech.tokenize_text.run import tokenize_text
from megatron_speech.tokenize_text.steps import CorpusReader, TokenShardWriter
from tests.toys import killed_when_a_shard_is_moved, write_jsonl
from tests.unit.tokenize_text.toys import config_of, corpus_folder, digest


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
    with pytest.raises(ValueError, match="made from other inputs"):
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


def test_filters_of_datatrove_stand_between_the_steps(tmp_path: Path, vocabulary: Path):
    tasks = text_tasks({"web": TextCorpusConfig(path=corpus_folder(tmp_path / "corpus", files=1))})
    reader = CorpusReader(tasks, on_bad_line="error")
    writer = TokenShardWriter(reader, folder=tmp_path / "out", vocabulary=vocabulary, name="text", shard_tokens=100)
    steps = [reader, LambdaFilter(lambda document: not document.id.endswith("2")), writer]
    LocalPipelineExecutor(steps, tasks=1, logging_dir=str(tmp_path / "log")).run()
    assert [d.key for d in read_documents(tmp_path / "out" / "00000")] == ["0-0", "0-1", "0-3"]
