"""`ls` names every artifact and run folder below a folder, what state it is in and what it was made from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_speech.artifacts import manifest, tasks
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.commands import listing
from megatron_speech.commands.listing import entries, ls, readable
from megatron_speech.config.inspection.commands import LsConfig
from megatron_speech.training import run_folder
from tests.toys import utterances, write_codes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with an artifact of every state, and three runs."""
    (tmp_path / "text.jsonl").write_text("{}\n")
    with make_artifact(tmp_path / "a" / "corpus", kind="corpus", config={}, inputs=[tmp_path / "text.jsonl"]) as draft:
        (draft.folder / "train.jsonl").write_text("x" * 1000)
    with pytest.raises(RuntimeError), make_artifact(tmp_path / "codes", kind="speech_codes", config={}, inputs=[]):
        raise RuntimeError
    write_codes(tmp_path / "lost", utterances([{}]), num_codes=8, fingerprint="x")
    next((tmp_path / "lost").glob("*.tar")).unlink()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("{")
    (tmp_path / "text.tasks" / "task-00000").mkdir(parents=True)
    (tmp_path / "text.tasks" / "task-00000" / "manifest.json").write_text("{}")
    for name, files in {
        "done": {"done.json": '{"steps": 3}'},
        "begun": {"saved.json": '{"step": 2}'},
        "spoilt": {"done.json": "[]"},
    }.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        settings = "model: {base: base}\ndata: {sources: {a: {folder: packed/a}}}\n"
        for file, text in {"config.yaml": settings, "plan.json": "{}", **files}.items():
            (tmp_path / "runs" / name / file).write_text(text)
    return tmp_path


def test_every_state_is_told(root: Path) -> None:
    found = {entry.folder: (entry.kind, entry.state) for entry in entries(root)}
    shard = "codes-000000.tar"
    assert found.pop("odd")[1].startswith("damaged: ")
    assert found == {
        "a/corpus": ("corpus", "complete"),
        "codes.partial": ("speech_codes", "partial"),
        "lost": ("speech_codes", f"damaged: {shard} is missing"),
        "text.tasks": ("parts", "partial: 1 parts are made"),
        "runs/begun": ("run", "partial: step 2 is saved"),
        "runs/done": ("run", "complete"),
        "runs/spoilt": ("run", "damaged: list indices must be integers or slices, not str"),
    }


def test_inputs_size_and_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ls(LsConfig(folder=root, json=True))
    listed = {entry["folder"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["a/corpus"]["inputs"] == [str(root / "text.jsonl")]
    files = (root / "a" / "corpus").iterdir()
    assert listed["a/corpus"]["bytes"] == sum(path.stat().st_size for path in files) > 1000
    assert listed["runs/done"]["inputs"] == ["base", "packed/a"]
    ls(LsConfig(folder=root))
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["folder", "kind", "size", "made", "state", "from"]
    assert [line.split()[0] for line in lines] == list(listed)


def test_a_folder_that_is_an_artifact_is_listed_itself(root: Path) -> None:
    assert [entry.folder for entry in entries(root / "runs" / "done")] == ["."]


def test_an_empty_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ls(LsConfig(folder=tmp_path))
    assert capsys.readouterr().out == f"{tmp_path}: no artifact and no run folder lies below it\n"


@pytest.mark.parametrize(
    ("name", "says"), [("nowhere", "does not exist; correct the path"), ("file", "is a file; give a folder")]
)
def test_no_folder_is_one_line(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "megatron_speech.commands", "ls", str(tmp_path / name), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: folder={tmp_path / name} {says}\n"


def test_names_are_those_of_the_rooms_that_write_them() -> None:
    named = (run_folder.CONFIG, run_folder.PLAN, run_folder.DONE, run_folder.SAVED, tasks.PARTS, manifest.MANIFEST)
    own = (listing.CONFIG, listing.PLAN, listing.DONE, listing.SAVED, listing.PARTS, listing.MANIFEST)
    assert named == own


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_999, "1 MB"), (1_234_567, "1.23 MB")]
)
def test_sizes_have_three_digits_and_a_unit(size: int, text: str) -> None:
    assert readable(size) == text
