"""Artifacts: complete or absent, skipped when made, refused when made from something else."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.files import fingerprint_files, write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact, read_manifest


@dataclass(frozen=True)
class _Config:
    output: Path
    amount: int = 1


@dataclass(frozen=True, kw_only=True)
class _Count(Record):
    count: int


def _make(output: Path, config: _Config, *inputs: Path) -> None:
    with make_artifact(output, kind="toy", config=config, inputs=inputs) as draft:
        (draft.folder / "data").write_text("x")
        draft.facts = _Count(count=3)


def test_a_finished_artifact_is_recognised(tmp_path: Path):
    output, source = tmp_path / "out", tmp_path / "source.txt"
    source.write_text("input")
    config = _Config(output)
    assert not is_made(output, kind="toy", config=config, inputs=[source])
    _make(output, config, source)
    assert is_made(output, kind="toy", config=config, inputs=[source])
    assert read_manifest(output).facts == {"count": 3}
    assert sorted(path.name for path in output.iterdir()) == ["data", "manifest.json"]
    assert not (tmp_path / "out.partial").exists()


def test_a_difference_is_named(tmp_path: Path):
    output, source = tmp_path / "out", tmp_path / "source.txt"
    source.write_text("input")
    _make(output, _Config(output), source)
    with pytest.raises(ValueError, match=r"with other settings \(amount: 1 -> 2\); remove it"):
        is_made(output, kind="toy", config=_Config(output, 2), inputs=[source])
    with pytest.raises(ValueError, match="was made as toy, not as other; remove it"):
        is_made(output, kind="other", config=_Config(output), inputs=[source])
    source.write_text("changed")
    with pytest.raises(ValueError, match="from other inputs"):
        is_made(output, kind="toy", config=_Config(output), inputs=[source])


def test_an_artifact_is_identified_by_its_manifest(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    _make(first, _Config(first))
    _make(second, _Config(second), first)
    assert is_made(second, kind="toy", config=_Config(second), inputs=[first])
    manifest = json.loads((first / "manifest.json").read_text())
    (first / "manifest.json").write_text(json.dumps({**manifest, "facts": {}}))
    with pytest.raises(ValueError, match="from other inputs"):
        is_made(second, kind="toy", config=_Config(second), inputs=[first])


def test_a_failure_leaves_nothing_under_the_final_name(tmp_path: Path):
    output = tmp_path / "out"
    with pytest.raises(RuntimeError), make_artifact(output, kind="toy", config=_Config(output)) as draft:
        (draft.folder / "half").write_text("x")
        raise RuntimeError("killed")
    assert not output.exists()
    with pytest.raises(FileNotFoundError, match="is not finished"):
        read_manifest(output)
    with make_artifact(output, kind="toy", config=_Config(output)) as draft:
        assert (draft.folder / "half").exists()  # the same identity may resume
    assert output.exists()


def test_a_partial_folder_of_another_identity_is_not_resumed(tmp_path: Path):
    output = tmp_path / "out"
    with pytest.raises(RuntimeError), make_artifact(output, kind="toy", config=_Config(output)) as draft:
        (draft.folder / "half").write_text("x")
        raise RuntimeError("killed")
    with make_artifact(output, kind="toy", config=_Config(output, 2)) as draft:
        assert not (draft.folder / "half").exists()


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is not JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"audio_filepath": "a"}\n{"a": 1}\n', '{"kind": "Deployment"}', "[]", ""])
@pytest.mark.parametrize("name", ["manifest.json", "table.csv"])
def test_a_file_beside_a_manifest_of_others_is_an_input_like_any(tmp_path: Path, name: str, content: str) -> None:
    given, output = tmp_path / "in" / name, tmp_path / "in" / "out"
    given.parent.mkdir()
    given.write_text("1")
    (given.parent / "manifest.json").write_text(content)
    _make(output, _Config(output), given)
    assert is_made(output, kind="toy", config=_Config(output), inputs=[given])
    (given.parent / "manifest.json").write_text('{\n "kind": "any", "facts')
    with pytest.raises(ValueError, match=r"lies inside .*/in, from which it is made"):
        is_made(output, kind="toy", config=_Config(output), inputs=[given])


def test_a_stranger_in_the_way_is_not_deleted(tmp_path: Path) -> None:
    notes = tmp_path / "out.partial" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(FileExistsError, match="in the way"), make_artifact(tmp_path / "out", kind="any", config={}):
        pass
    assert notes.read_text() == "mine"


def test_what_made_an_artifact_is_told_but_is_no_part_of_its_identity(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _make(first, _Config(first))
    _make(second, _Config(second), first)
    manifest = json.loads((first / "manifest.json").read_text())
    assert manifest["made_by"].keys() == {"tool", "version", "commit"}
    manifest["made_by"]["version"] = "another"
    write_atomic(first / "manifest.json", json.dumps(manifest))
    assert is_made(second, kind="toy", config=_Config(second), inputs=[first])


def test_licences_and_languages_are_those_of_everything_upstream(tmp_path: Path) -> None:
    corpora = []
    for licence, language in (("CC-BY-4.0", "en"), ("MIT", "de"), ("MIT", "en")):
        corpora.append(tmp_path / f"{licence}-{language}")
        with make_artifact(corpora[-1], kind="corpus", config={}) as draft:
            (draft.folder / "train.jsonl").write_text("{}")
            draft.licences.add(licence)
            draft.languages.add(language)
    with make_artifact(tmp_path / "tokens", kind="tokens", config={}, inputs=[corpora[0], corpora[1] / "train.jsonl"]):
        pass
    with make_artifact(tmp_path / "packed", kind="packed", config={}, inputs=[tmp_path / "tokens"]):
        pass
    manifest = read_manifest(tmp_path / "packed")
    assert (manifest.licences, manifest.languages) == (("CC-BY-4.0", "MIT"), ("de", "en"))


def test_a_manifest_without_its_maker_keeps_its_identity(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    write_atomic(made / "manifest.json", json.dumps({"kind": "toy", "facts": {"a": 0.1}}, indent=1) + "\n")
    with make_artifact(tmp_path / "next", kind="toy", config={}, inputs=[made]):
        pass
    assert read_manifest(tmp_path / "next").inputs == {str(made): fingerprint_files([made / "manifest.json"])}


def test_a_kill_after_the_final_name_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(InterruptedError))
        with make_artifact(tmp_path / "made", kind="test", config={}):
            pass
    assert is_made(tmp_path / "made", kind="test", config={})
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["manifest.json"]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(
        FileExistsError, match=r"made is in the way: it is no finished output of any stage; move it, or"
    ):
        is_made(tmp_path / "made", kind="test", config={})


@pytest.mark.parametrize("last", ["identity.json.tmp", "manifest.json"])
def test_a_kill_at_either_end_is_no_obstacle(tmp_path: Path, last: str) -> None:
    """Killed while the mark of a folder was written, or when nothing but its final name was missing."""
    partial = tmp_path / "made.partial"

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace" if last.endswith("tmp") else "rename", die)
        with make_artifact(tmp_path / "made", kind="test", config={}) as draft:
            (draft.folder / "work").write_text("half")
    assert (partial / last).exists()
    with make_artifact(tmp_path / "made", kind="test", config={}) as draft:
        (draft.folder / "work").write_text("whole")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["manifest.json", "work"]


def test_who_may_read_the_folder_may_read_its_files(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(0o600)
    with make_artifact(tmp_path / "made", kind="toy", config={}) as draft:
        draft.folder.chmod(0o750)
        (draft.folder / "weights").touch(0o600)
        (draft.folder / "link").symlink_to(elsewhere)
    assert (tmp_path / "made" / "weights").stat().st_mode & 0o777 == 0o640
    assert elsewhere.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [".", "..", "/", "input", "input/out", "input/a/b", "link/out", "input/../input/out"])
def test_no_output_lies_in_its_own_input_or_lacks_a_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with make_artifact(Path("input"), kind="test", config={}) as draft:
        (draft.folder / "file").touch()
    Path("link").symlink_to("input")
    before = sorted(Path().rglob("*"))
    for inputs in ([Path("input")], [Path("input/file")]):
        with (
            pytest.raises((ValueError, FileExistsError)),
            make_artifact(Path(name), kind="new", config={}, inputs=inputs),
        ):
            raise AssertionError("nothing may be written there")
        with pytest.raises((ValueError, FileExistsError)):
            is_made(Path(name), kind="new", config={}, inputs=inputs)
    assert sorted(Path().rglob("*")) == before
    assert not is_made(Path("input2"), kind="new", config={}, inputs=[Path("input")])


def test_a_folder_that_no_stage_finished_is_told_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun.partial").mkdir()
    (tmp_path / "note.txt").write_text("x")
    for name, said in {
        "gone": "gone does not exist; correct the path",
        "begun": "begun is not finished: begun.partial is there; run the command that makes it once more, to its end",
        "note.txt": "note.txt is a file, and no folder that a command made; correct the path",
        "empty": "empty holds no manifest.json: no command made it, or not to its end; correct the path, or make",
    }.items():
        with pytest.raises(FileNotFoundError, match=re.escape(said)):
            read_manifest(tmp_path / name)
