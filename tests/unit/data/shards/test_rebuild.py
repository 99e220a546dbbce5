"""The index of a folder made again from its tars alone, and what a tar must be for that."""

import io
import shutil
import tarfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.inspection.shards import IndexShardsConfig
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.rebuild import index_shards
from megatron_speech.vocabulary import Vocabulary
from tests.damages import patch, tars
from tests.toys import VOCABULARY, documents_of, packed_folder

Entry = tuple[tarfile.TarInfo, bytes]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=25),
    shard_tokens=st.integers(30, 400),
    algorithm=st.sampled_from(["concat", "best_fit"]),
    seed=st.integers(0, 3),
)
def test_an_index_made_again_is_the_writers(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], shard_tokens: int, algorithm: str, seed: int
):
    folder = tmp_path_factory.mktemp("rebuild") / "rows"
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", 130):
        packed_folder(
            folder,
            lengths,
            seq_length=41,
            shard_tokens=shard_tokens,
            algorithm=algorithm,
            seed=seed,
            with_targets=True,
        )
    for each in (folder, folder.with_name("rows.documents")):
        written = {path.name: path.read_bytes() for path in each.iterdir()}
        for path in [*each.glob("*.mspx"), each / "shards.json"]:
            path.unlink()
        index_shards(IndexShardsConfig(folder=each))
        made = {path.name: path.read_bytes() for path in each.iterdir()}
        assert made.keys() == written.keys()
        for name in written:
            # What the packer has to say beside its rows, such as padding, is in no tar, and here is no manifest.
            assert made[name] == written[name] or (each == folder and name == "shards.json"), name


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_what_the_packer_said_is_taken_from_the_manifest(tmp_path: Path, harm: str):
    with make_artifact(tmp_path / "documents", kind="documents", config={}) as draft:
        draft.facts = write_documents(draft.folder, documents_of([9, 30]), vocabulary=VOCABULARY, name="toy")
    folder = tmp_path / "rows"
    pack_shards(PackShardsConfig(input=tmp_path / "documents", output=folder, seq_length=16))
    written = (folder / "shards.json").read_bytes()
    assert b'"padding":' in written
    if harm == "missing":
        (folder / "shards.json").unlink()
    else:
        patch(folder / "shards.json", 30, b"?")
    index_shards(IndexShardsConfig(folder=folder))
    assert (folder / "shards.json").read_bytes() == written


def test_without_a_manifest_what_is_lost_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = packed_folder(tmp_path / "rows", [9, 30])
    (folder / "shards.json").unlink()
    index_shards(IndexShardsConfig(folder=folder))
    assert f"{folder}: no manifest of these shards, so shards.json will not list padding and cuts" in caplog.messages


def _with_entries(entries: list[Entry], path: Path, *, form: int) -> None:
    with tarfile.open(path, "w", format=form) as tar:
        for info, payload in entries:
            tar.addfile(info, io.BytesIO(payload))


def _renamed(entries: list[Entry], number: int, name: str) -> list[Entry]:
    entries[number][0].name = name
    return entries


def _dated(entries: list[Entry]) -> list[Entry]:
    entries[0][0].mtime = 0.5
    return entries


def _linked(entries: list[Entry]) -> list[Entry]:
    info = tarfile.TarInfo(entries[3][0].name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, "/etc/passwd", 0o444
    return [*entries[:3], (info, b"")]


TARS = {
    "a member too many": lambda entries: [*entries, entries[-1]],
    "a member missing": lambda entries: entries[:-1],
    "a member twice": lambda entries: [entries[0], *entries],
    "another order": lambda entries: entries[::-1],
    "another name": lambda entries: _renamed(entries, 1, "toy-000000-000000.pickle"),
    "another block": lambda entries: _renamed(entries, 3, "toy-000000-000001.tokens.i32"),
    "a folder above": lambda entries: _renamed(entries, 2, "../" + entries[2][0].name),
    "a link": _linked,
    "a long name": lambda entries: _renamed(entries, 1, "n" * 150),
    "a time": _dated,
}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("change", TARS)
def test_a_tar_of_anything_else_is_refused(tmp_path: Path, change: str, form: int):
    write_documents(tmp_path / "toy", documents_of([5, 6]), vocabulary=VOCABULARY, name="toy")
    (tar,) = tars(tmp_path / "toy")
    with tarfile.open(tar) as opened:
        entries = [(info, opened.extractfile(info).read()) for info in opened]
    if form == tarfile.USTAR_FORMAT and change in ("a long name", "a time"):
        pytest.skip("cannot be written in this format")
    _with_entries(TARS[change](entries), tar, form=form)
    (tmp_path / "toy" / "shards.json").unlink()
    with pytest.raises(ValueError, match=r"toy-000000.tar: .*byte \d+"):
        index_shards(IndexShardsConfig(folder=tmp_path / "toy"))


def test_shards_of_another_folder_are_refused(tmp_path: Path):
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", 50):
        folder = packed_folder(tmp_path / "rows", [20] * 9, seq_length=16, shard_tokens=50)
        other = packed_folder(tmp_path / "other", [20] * 9, seq_length=24, shard_tokens=50)
    shutil.copy(tars(other)[1], tars(folder)[1])
    (folder / "shards.json").unlink()
    with pytest.raises(ValueError, match=r"packed-000001.tar: rows with S=24 beside rows with S=16"):
        index_shards(IndexShardsConfig(folder=folder))


def test_another_shard_needs_the_list_removed(tmp_path: Path):
    for name, seed in (("one", 0), ("two", 1)):
        write_documents(tmp_path / name, documents_of([5, 6], seed=seed), vocabulary=VOCABULARY, name="toy")
    shutil.copy(tmp_path / "two" / "toy-000000.tar", tmp_path / "one" / "toy-000000.tar")
    with pytest.raises(ValueError, match=r"toy-000000.tar: not the shard that shards.json lists"):
        index_shards(IndexShardsConfig(folder=tmp_path / "one"))
    (tmp_path / "one" / "shards.json").unlink()
    index_shards(IndexShardsConfig(folder=tmp_path / "one"))
    for path in (tmp_path / "two").iterdir():
        assert (tmp_path / "one" / path.name).read_bytes() == path.read_bytes()


def test_the_vocabulary_must_be_the_lists(tmp_path: Path):
    write_documents(tmp_path / "toy", documents_of([5]), vocabulary=VOCABULARY, name="toy")
    Vocabulary(num_text_ids=100, num_speech_ids=60).save(tmp_path / "toy" / "vocabulary.json")
    with pytest.raises(ValueError, match=r"shards.json: vocabulary fingerprint"):
        index_shards(IndexShardsConfig(folder=tmp_path / "toy"))


def test_a_folder_without_shards_is_named(tmp_path: Path):
    VOCABULARY.save(tmp_path / "vocabulary.json")
    with pytest.raises(FileNotFoundError, match="holds no shards"):
        index_shards(IndexShardsConfig(folder=tmp_path))
