"""No damage to a folder of shards is silent: reading names it, a scan names it, and no index is made over it."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.inspection.shards import ExportIndexedDatasetConfig, IndexShardsConfig, VerifyShardsConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.contents import Examination
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents, write_documents
from megatron_speech.data.shards.export_indexed import export_indexed_dataset
from megatron_speech.data.shards.rebuild import index_shards
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.data.shards.verify import verify_folder, verify_shards
from megatron_speech.vocabulary import Vocabulary
from tests.damages import BESIDE_TARS, DAMAGES, IN_TARS, member_of, patch, tars
from tests.toys import VOCABULARY, documents_of, packed_folder

KINDS = ("documents", "rows")
LENGTHS = [30, 25, 30, 80, 2, 40, 41, 7, 60]
TOOLS = Path(__file__).resolve().parents[4] / "tools"


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind, of three shards or more, the first of two blocks or more."""
    root = tmp_path_factory.mktemp("intact")
    with mock.patch("megatron_speech.data.shards.documents.BLOCK_TOKENS", 50):
        write_documents(root / "documents", documents_of(LENGTHS), vocabulary=VOCABULARY, name="toy", shard_tokens=90)
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", 40):
        packed_folder(root / "rows", LENGTHS, seq_length=10, shard_tokens=90)
    for kind in KINDS:
        assert len(tars(root / kind)) >= 3
        assert member_of(root / kind, block=1)
        assert list(verify_folder(root / kind, ids=True)) == []
    return {kind: root / kind for kind in KINDS}


def _read(folder: Path, kind: str) -> str:
    """All that reading the folder gives, or its error."""
    try:
        vocabulary = Vocabulary.load(folder)
        if kind == "documents":
            documents = read_documents(folder, vocabulary=vocabulary)
            return repr([(d.key, d.tokens.tolist(), d.target_start, d.meta) for d in documents])
        rows = RowFolder(folder, vocabulary=vocabulary)
        read = [(rows.row(number, target_only=True), rows.documents(number)) for number in range(len(rows))]
        return repr([(r.tokens.tolist(), r.cu_seqlens.tolist(), r.context.tolist(), d.tolist()) for r, d in read])
    except (ValueError, FileNotFoundError) as error:
        return f"error: {error}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_named(intact: dict[str, Path], tmp_path: Path, kind: str, damage: str):
    folder = shutil.copytree(intact[kind], tmp_path / "damaged")
    file = DAMAGES[damage](folder)
    named = folder.name if damage == "vocabulary" else file.name  # its shards are as wrong as it is
    assert (read := _read(folder, kind)).startswith("error: ") and named in read
    found = list(verify_folder(folder, ids=False))
    assert file in [each.file for each in found], found
    assert all(str(each.file) in str(each) for each in found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize("damage", IN_TARS)
def test_no_index_is_made_over_a_damaged_tar(
    intact: dict[str, Path], tmp_path: Path, kind: str, damage: str, listed: bool
):
    folder = shutil.copytree(intact[kind], tmp_path / "damaged")
    file = IN_TARS[damage](folder)
    if not listed:
        (folder / "shards.json").unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=file.name):
        index_shards(IndexShardsConfig(folder=folder))
    assert (folder / "shards.json").exists() == listed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", BESIDE_TARS)
def test_what_lies_beside_the_tars_is_made_again(intact: dict[str, Path], tmp_path: Path, kind: str, damage: str):
    folder = shutil.copytree(intact[kind], tmp_path / "damaged")
    BESIDE_TARS[damage](folder)
    index_shards(IndexShardsConfig(folder=folder))
    assert list(verify_folder(folder, ids=True)) == []
    for path in intact[kind].glob("*.mspx"):
        assert (folder / path.name).read_bytes() == path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_every_flipped_bit_is_named(
    intact: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
):
    clean = _read(intact[kind], kind)
    name = data.draw(st.sampled_from(sorted(path.name for path in intact[kind].iterdir())))
    place = data.draw(st.integers(0, (intact[kind] / name).stat().st_size - 1))
    folder = tmp_path_factory.mktemp("flipped") / "folder"
    folder.mkdir()
    for path in intact[kind].iterdir():  # files are linked, the damaged one is written anew
        (folder / path.name).symlink_to(path)
    content = bytearray((folder / name).read_bytes())
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    damages = list(verify_folder(folder, ids=False))
    assert folder / name in [damage.file for damage in damages]
    if name.endswith(".tar"):
        assert all(damage.byte is not None and abs(damage.byte - place) < 1024 for damage in damages)
    read = _read(folder, kind)
    # A row is checked by its own checksum, so that what is never read (tar headers, padding) may go unseen.
    assert (read.startswith("error: ") and name in read) or (kind == "rows" and name.endswith(".tar") and read == clean)


def test_a_scan_tells_every_damage_and_goes_on(intact: dict[str, Path], tmp_path: Path):
    folder = shutil.copytree(intact["documents"], tmp_path / "damaged")
    tar, tokens = member_of(folder, "tokens.i32", block=0)
    _, lens = member_of(folder, "lens.i32", block=1)
    patch(tar, tokens.offset, b"\1\1\1\1")
    patch(tar, lens.offset, b"\1\1\1\1")
    tars(folder)[1].unlink()
    (folder / "toy-000009.tar").write_bytes(b"")
    found = [(damage.file.name, damage.block, damage.member, damage.byte) for damage in verify_folder(folder, ids=True)]
    assert found == [
        ("toy-000009.tar", None, None, None),
        ("toy-000000.tar", 0, "tokens.i32", tokens.offset),
        ("toy-000000.tar", 1, "lens.i32", lens.offset),
        ("toy-000001.tar", None, None, None),
    ]


def test_ids_under_right_checksums_are_found_by_what_they_mean(tmp_path: Path):
    """As another program might write them; ours refuses."""
    bad = TokenDocument(key="k", tokens=np.array([5, 6, VOCABULARY.size, -3], np.int32))
    believed = Examination(items=1, text_tokens=4)
    with mock.patch("megatron_speech.data.shards.block_writer.examine", return_value=believed):
        write_documents(tmp_path / "bad", [bad], vocabulary=VOCABULARY, name="toy")
    assert list(verify_folder(tmp_path / "bad", ids=False)) == []
    (damage,) = verify_folder(tmp_path / "bad", ids=True)
    _, tokens = member_of(tmp_path / "bad", "tokens.i32", block=0)
    assert (damage.member, damage.byte) == ("tokens.i32", tokens.offset + 8)
    assert "document 'k': id 154 leaves the vocabulary of 154" in damage.what and "1 more" in damage.what


def test_a_manifest_of_other_shards_is_named(tmp_path: Path):
    for name, lengths in (("one", [5, 6]), ("two", [5, 7])):
        with make_artifact(tmp_path / name, kind="documents", config={}) as draft:
            documents = documents_of(lengths)
            draft.facts = write_documents(draft.folder, documents, vocabulary=VOCABULARY, name="toy")
    assert list(verify_folder(tmp_path / "one", ids=False)) == []
    for path in (tmp_path / "two").iterdir():
        if path.name != "manifest.json":
            shutil.copy(path, tmp_path / "one" / path.name)
    (damage,) = verify_folder(tmp_path / "one", ids=False)
    assert damage.file == tmp_path / "one" / "manifest.json" and "not the shards it was made with" in damage.what
    with pytest.raises(ValueError, match=r"one/manifest.json: states checksum"):
        list(read_documents(tmp_path / "one"))
    with pytest.raises(ValueError, match=r"one/manifest.json: states checksum"):  # else its manifest would be believed
        pack_shards(PackShardsConfig(input=tmp_path / "one", output=tmp_path / "packed", seq_length=8))
    (tmp_path / "one" / "shards.json").unlink()
    with pytest.raises(ValueError, match=r"manifest.json: states checksum"):
        index_shards(IndexShardsConfig(folder=tmp_path / "one"))
    patch(tmp_path / "two" / "manifest.json", 0, b"x")
    assert next(verify_folder(tmp_path / "two", ids=False)).file == tmp_path / "two" / "manifest.json"


def test_a_lost_list_is_named_with_its_remedy_and_a_lost_manifest_is_told(
    intact: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = shutil.copytree(intact["rows"], tmp_path / "damaged")
    (folder / "shards.json").unlink()
    (damage,) = verify_folder(folder, ids=False)
    assert (
        str(damage).startswith(f"{folder / 'shards.json'}: is missing")
        and "megatron-speech index_shards" in damage.what
    )
    (told,) = caplog.messages
    assert told.startswith(f"{folder}: no manifest.json")


def test_the_tool_reports_and_fails(
    intact: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = shutil.copytree(intact["rows"], tmp_path / "damaged")
    folders = f"--folders=[{intact['documents']},{folder}]"
    monkeypatch.setattr(
        sys, "argv", ["verify_shards.py", folders, "--ids=true", f"--output={tmp_path / 'report.json'}"]
    )
    for damaged in (False, True):
        if damaged:
            tar = IN_TARS["bit flip in a payload"](folder)
        with pytest.raises(SystemExit) as status:
            runpy.run_path(str(TOOLS / "verify_shards.py"), run_name="__main__")
        assert status.value.code == damaged
        report = json.loads((tmp_path / "report.json").read_text())
        assert [len(report[str(each)]["damages"]) for each in (intact["documents"], folder)] == [0, damaged]
    assert report[str(folder)]["damages"][0]["file"] == str(tar)
    shown = capsys.readouterr().out
    assert f"{tar}: block 1, tokens.i32, byte" in shown
    assert shown.splitlines()[0] == "no damage in 2 folders" and shown.splitlines()[-1] == "1 damage in 2 folders"


def test_a_link_to_what_is_gone_is_a_missing_shard(intact: dict[str, Path], tmp_path: Path):
    folder = shutil.copytree(intact["rows"], tmp_path / "damaged")
    lost = tars(folder)[1]
    lost.unlink()
    lost.symlink_to(tmp_path / "gone")
    (folder / "gone.tar").symlink_to(tmp_path / "gone")  # and one that nobody lists
    found = {damage.file: damage.what for damage in verify_shards(VerifyShardsConfig(folders=[folder]))}
    assert found.keys() == {lost, folder / "gone.tar"} and found[lost].startswith("is missing")
    with pytest.raises(FileNotFoundError, match=f"{lost} is missing"):
        index_shards(IndexShardsConfig(folder=folder))


def test_what_is_no_folder_is_no_damage(intact: dict[str, Path], tmp_path: Path):
    for path in (tmp_path / "nowhere", tars(intact["rows"])[0]):
        with pytest.raises(FileNotFoundError, match=f"{path} is no folder; correct the path"):
            list(verify_shards(VerifyShardsConfig(folders=[path])))
        with pytest.raises(FileNotFoundError, match=f"{path} is no folder; correct the path"):
            index_shards(IndexShardsConfig(folder=path))


def test_a_folder_of_other_things_has_no_shards(tmp_path: Path):
    (damage,) = verify_folder(tmp_path, ids=False)
    assert str(damage).startswith(f"{tmp_path}: holds no shards")


def test_the_place_of_the_report_is_made_before_anything_is_read(intact: dict[str, Path], tmp_path: Path):
    report = tmp_path / "deep" / "report.json"
    damages = verify_shards(VerifyShardsConfig(folders=[intact["rows"]], output=report))
    assert next(damages, None) is None and json.loads(report.read_text())[str(intact["rows"])]["damages"] == []


@pytest.mark.parametrize("damage", ["missing shard", "truncated to nothing", "trailing garbage"])
def test_no_export_points_at_a_shard_that_is_not_whole(intact: dict[str, Path], tmp_path: Path, damage: str):
    folder = shutil.copytree(intact["rows"], tmp_path / "damaged")
    (folder / "manifest.json").write_text('{"kind": "packed", "facts": {}}')
    file = IN_TARS[damage](folder)
    with pytest.raises((ValueError, FileNotFoundError), match=str(file)):
        export_indexed_dataset(ExportIndexedDatasetConfig(input=folder, output=tmp_path / "export"))
    assert not (tmp_path / "export").exists()
