"""A checkpoint folder is complete or absent, and damage is found by name before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint import folder as folders
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.vocabulary import Vocabulary

MODEL = ModelConfig(num_layers=2)
VOCABULARY = Vocabulary(num_text_ids=60, num_speech_ids=60)


def make_checkpoint(checkpoints: Path, step: int) -> Path:
    folder = folders.step_folder(checkpoints, step)
    partial = folders.begin(folder)
    (partial / "weights").write_bytes(bytes(range(100)))
    folders.write_facts(partial, model=MODEL, vocabulary=VOCABULARY, state=CheckpointState(step=step))
    folders.write_checksums(partial, folders.checksums(partial.iterdir()))
    assert folders.latest_checkpoint(checkpoints) != folder
    folders.complete(partial)
    return folder


def test_a_folder_appears_only_when_complete(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3)
    assert folders.latest_checkpoint(tmp_path) == folder
    folders.verify(folder)
    assert folders.read_state(folder) == CheckpointState(step=3) and folders.read_model_config(folder) == MODEL


def test_an_existing_checkpoint_is_not_overwritten_and_leftovers_go(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3)
    with pytest.raises(FileExistsError, match="never overwritten"):
        folders.begin(folder)
    (tmp_path / "step_4.partial").mkdir()
    (tmp_path / "step_4.partial" / "half").touch()
    assert list(folders.begin(tmp_path / "step_4").iterdir()) == []


def test_retention_keeps_the_newest_by_number(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        make_checkpoint(tmp_path, step)
    (tmp_path / "step_50.partial").mkdir()
    folders.keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_10", "step_100"]
    folders.keep_newest(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["step_100"]


@pytest.mark.parametrize("name", ["weights", "model.json", "state.json", "vocabulary.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_found_and_named(tmp_path: Path, name: str, damage: str) -> None:
    folder = make_checkpoint(tmp_path, 3)
    path, content = folder / name, (folder / name).read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + (bytes([content[-1] ^ 1]) if damage == "flip" else b""))
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        folders.verify(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("checksums.json", "[]", "checksums.json holds no JSON object"),
        ("checksums.json", "{}", "checksums.json has no checksum of model.json"),
        ("checksums.json", '{"weights": 1}', "checksums.json: weights has no size and sum"),
        ("checksums.json", '{"../weights": {"bytes": 1, "xxh3": ""}}', "names ../weights, which is no file of this"),
        ("model.json", "[]", "model.json holds no JSON object"),
        ("model.json", '{"num_layers": "4"}', "model.json: model.num_layers='4' must be int"),
        ("state.json", "3", "state.json holds no JSON object"),
        ("state.json", "{}", "state.json: step is missing"),
        ("state.json", '{"step": "3"}', "state.json: step=3 must be an integer"),
    ],
)
def test_facts_of_another_form_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = make_checkpoint(tmp_path, 3)
    (folder / name).write_text(content)
    if name != folders.CHECKSUMS:  # written so, and not damaged since
        folders.write_checksums(folder, folders.checksums(set(folder.iterdir()) - {folder / folders.CHECKSUMS}))
    read = {"checksums.json": folders.verify_facts, "model.json": folders.read_model_config}
    with pytest.raises(ValueError, match=message):
        read.get(name, folders.read_state)(folder)


READERS = {
    "verify": folders.verify,
    "verify_facts": folders.verify_facts,
    "require_same_model": lambda folder: folders.require_same_model(folder, model=MODEL, vocabulary=VOCABULARY),
}
LOST = {
    "checksums.json": r"step_3 has lost checksums\.json",
    "state.json": r"step_3 has lost state\.json",
    "vocabulary.json": r"step_3 has lost vocabulary\.json",
    "model.json": r"step_3 has lost model\.json",
}


@pytest.mark.parametrize("name", LOST)
def test_a_lost_file_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    folder = make_checkpoint(tmp_path, 3)
    (folder / name).unlink()
    readers = {**READERS, "state": folders.read_state} if name == "state.json" else READERS
    for reader, read in readers.items():
        if reader == "require_same_model" and name == "state.json":
            continue  # reads no state
        with pytest.raises(FileNotFoundError, match=rf"{LOST[name]}.*; restore it from a copy, or move .*step_3 away"):
            read(folder)


@pytest.mark.parametrize("name", ["model.json", "vocabulary.json", "state.json"])
def test_a_flipped_bit_of_any_fact_is_damage_and_never_read(tmp_path: Path, name: str) -> None:
    folder = make_checkpoint(tmp_path, 3)
    content = (folder / name).read_bytes()
    reads = {"model.json": folders.read_model_config, "vocabulary.json": folders.read_vocabulary}
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"step_3/{name} does not match its checksum in checksums\.json: one of"):
            reads.get(name, folders.read_state)(folder)


def test_a_flipped_bit_of_the_checksums_names_them(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3)
    path = folder / folders.CHECKSUMS
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            folders.verify(folder)
        except (ValueError, FileNotFoundError) as error:
            assert re.search(r"checksums\.json|has lost", str(error)) and "restore it from a copy" in str(error), error
        else:
            assert json.loads(damaged) == json.loads(content)  # a space became another


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "checkpoint folder .*step_3 does not exist; give a folder such as"),
        (Path.touch, "step_3 is a file and no checkpoint folder; give a folder such as"),
        (Path.mkdir, "checkpoint folder .*step_3 is empty; restore it from a copy, or move"),
    ],
)
def test_what_is_no_checkpoint_at_all_is_told_so(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "step_3")
    for read in READERS.values():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            read(tmp_path / "step_3")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(FileNotFoundError, match=r"holds no checksums\.json: it is no checkpoint of this project"):
        folders.verify(tmp_path / "other")
    (tmp_path / "other" / "config.json").touch()
    wanted = r"is a Hugging Face folder; make a checkpoint of it by megatron-speech convert_"
    with pytest.raises(FileNotFoundError, match=wanted):
        folders.verify(tmp_path / "other")


@pytest.mark.parametrize("link", [False, True])
def test_a_file_named_as_a_checkpoint_is_passed_over_and_moves_aside(tmp_path: Path, link: bool) -> None:
    stray = tmp_path / "step_7"
    if link:
        stray.symlink_to(tmp_path / "nowhere")
    else:
        stray.write_text("mine")
    folder = make_checkpoint(tmp_path, 3)
    assert folders.latest_checkpoint(tmp_path) == folder and folders.strays(tmp_path) == [stray]
    assert make_checkpoint(tmp_path, 7) == stray and folders.latest_checkpoint(tmp_path) == stray
    aside = tmp_path / "step_7.stray"
    assert aside.is_symlink() if link else aside.read_text() == "mine"


def test_leftovers_that_are_no_folders_go(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "step_4.partial").touch()
    (tmp_path / "step_5.partial").symlink_to(tmp_path / "kept")
    make_checkpoint(tmp_path, 4)
    folders.keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "step_4"]


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3)
    (folder / "__0_0.distcp").write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"checksums.json has no checksum of __0_0.distcp"):
        folders.verify(folder)


def test_parts_of_the_check_cover_every_file(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3)
    (folder / "weights").write_bytes(b"")
    found = 0
    for part in range(3):
        try:
            folders.verify(folder, part=part, parts=3)
        except ValueError:
            found += 1
    assert found == 1


def test_another_shape_or_vocabulary_is_named_with_both_values(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, 3)
    folders.require_same_model(
        folder, model=dataclasses.replace(MODEL, base="elsewhere", kv_channels=64), vocabulary=VOCABULARY
    )
    with pytest.raises(ValueError, match=r"model.num_layers=2 there, 4 in this run"):
        folders.require_same_model(folder, model=dataclasses.replace(MODEL, num_layers=4), vocabulary=VOCABULARY)
    both = r"model.num_layers=2 there, 4 in this run, model.ffn_hidden_size=688 there, 64 in this run; make them equal"
    with pytest.raises(ValueError, match=both):
        other_shape = dataclasses.replace(MODEL, num_layers=4, ffn_hidden_size=64)
        folders.require_same_model(folder, model=other_shape, vocabulary=VOCABULARY)
    with pytest.raises(ValueError, match="vocabulary fingerprint"):
        other = dataclasses.replace(VOCABULARY, num_speech_ids=61)
        folders.require_same_model(folder, model=MODEL, vocabulary=other)
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        folders.require_same_model(tmp_path / "nowhere", model=MODEL, vocabulary=VOCABULARY)
