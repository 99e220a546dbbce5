"""Kills: a run that is killed anywhere, or joined by two processes, makes what an undisturbed one makes."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_speech.artifacts import make_in_tasks
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.interleave.journal import Journal
from tests.toys import killed_when_a_shard_is_moved
from tests.unit.interleave.toys import digest, run


def killed(settings: BuildInterleavedConfig, output: str, fate: random.Random, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a kill -9, at a random record of the journal, which it may tear, or at a random rename, ended the run."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = Counter(records=fate.randrange(1, 5), renames=fate.choice([99, 99, 1, 2, 3]))
    append, rename = Journal.append, Path.rename

    def torn(journal: Journal, *span: object) -> None:
        left["records"] -= 1
        if not left["records"]:
            with journal.path.open("ab") as file:
                file.write(b"0123456789abcdef {"[: fate.randrange(18)])
            os.kill(os.getpid(), signal.SIGKILL)
        append(journal, *span)

    def stopped(path: Path, target: Path) -> Path:
        left["renames"] -= 1
        if not left["renames"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(path, target)

    monkeypatch.setattr(Journal, "append", torn)
    monkeypatch.setattr(Path, "rename", stopped)
    try:
        run(settings, output)
    finally:
        os._exit(0)


def test_a_run_that_is_killed_ten_times_makes_what_an_undisturbed_one_makes(config, engine, monkeypatch):
    config = replace(config, corpora={"wiki": config.corpora["wiki"]}, shard_documents=4)
    undisturbed = run(config, "whole")
    kills, fate = 0, random.Random(3)
    for _ in range(40):
        if kills == 10 or not killed(config, "disturbed", fate, monkeypatch):
            break
        kills += 1
    assert kills == 10, "the run is too short for the test"
    engine.spoken.clear()
    disturbed = run(config, "disturbed")
    assert digest(disturbed) == digest(undisturbed)
    assert read_manifest(disturbed).facts == read_manifest(undisturbed).facts
    assert len(engine.spoken) < read_manifest(disturbed).facts["spans"], "nothing of what was spoken was kept"


def test_shards_that_a_killed_join_moved_are_neither_deleted_nor_lost(config, engine, monkeypatch, tmp_path):
    config = replace(config, corpora={"wiki": config.corpora["wiki"]})
    undisturbed = run(config, "whole")
    with killed_when_a_shard_is_moved(monkeypatch):
        run(config, "made")
    partial, engine.spoken = tmp_path / "made.partial", []
    listed = {"wiki": replace(config.corpora["wiki"], licence="CC-BY-4.0")}
    for part in ("all", "finish"):
        with pytest.raises(ValueError, match=r"made.partial was begun with .*licence: CC0-1.0 -> CC-BY-4.0; restore"):
            run(replace(config, corpora=listed), "made", part=part)
    assert [path.name for path in partial.glob("*.tar")] == ["interleaved-00000-00000-000000.tar"]
    shutil.rmtree(partial)  # as the message offers
    with pytest.raises(FileNotFoundError, match=r"00000-000000.tar is gone; run the tasks again"):
        run(config, "made", part="finish")
    shutil.rmtree(tmp_path / "made.tasks/00000-00001")
    assert digest(run(config, "made")) == digest(undisturbed)
    assert engine.spoken == [], "made again from the journals"


def test_a_join_that_another_process_made_meanwhile_is_taken(config, engine, monkeypatch, tmp_path):
    run(config, "made", part="tasks")
    alone = make_in_tasks.alone

    @contextmanager
    def after_another(output: Path) -> Iterator[None]:
        monkeypatch.setattr(make_in_tasks, "alone", alone)
        run(config, "made", part="finish")
        with alone(output):
            yield

    monkeypatch.setattr(make_in_tasks, "alone", after_another)
    run(config, "made", part="finish")
    assert digest(tmp_path / "made") == digest(run(config, "whole"))
