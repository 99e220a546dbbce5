"""Documents through shards: byte-reproducible, readable by WebDataset, and no damage without a name."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.data.document import TokenDocument
from megatron_speech.data.shards import read_documents, write_documents
from megatron_speech.vocabulary import Vocabulary
from tests.toys import VOCABULARY, documents_of


def _written(folder: Path, lengths: list[int], *, shard_tokens: int = 200) -> Path:
    write_documents(
        folder, documents_of(lengths, with_targets=True), vocabulary=VOCABULARY, name="toy", shard_tokens=shard_tokens
    )
    return folder


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60), shard_tokens=st.integers(1, 500))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, lengths: list[int], shard_tokens: int):
    folder = tmp_path_factory.mktemp("shards")
    documents = documents_of(lengths, with_targets=True)
    facts = write_documents(folder, documents, vocabulary=VOCABULARY, name="toy", shard_tokens=shard_tokens)
    read = list(read_documents(folder, vocabulary=VOCABULARY))
    assert [document.key for document in read] == [document.key for document in documents]
    for theirs, ours in zip(documents, read, strict=True):
        assert ours.tokens.dtype == np.int32
        assert ours.tokens.tolist() == theirs.tokens.tolist()
        assert (ours.target_start, ours.meta) == (theirs.target_start, theirs.meta)
    tokens = np.concatenate([document.tokens for document in documents])
    assert facts["documents"] == len(documents)
    assert facts["tokens"] == len(tokens)
    assert facts["speech_tokens"] == (tokens >= VOCABULARY.first_speech_id).sum()


def test_equal_documents_give_equal_bytes(tmp_path: Path):
    lengths = list(range(1, 40))
    one, two = _written(tmp_path / "one", lengths), _written(tmp_path / "two", lengths)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_shards_are_plain_ustar_that_webdataset_opens(tmp_path: Path):
    folder = _written(tmp_path / "shards", list(range(1, 40)))
    shards = sorted(folder.glob("*.tar"))
    assert len(shards) > 2
    tokens = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                assert not member.pax_headers
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o444)
        for sample in webdataset.WebDataset(str(shard), shardshuffle=False):
            tokens.append(np.frombuffer(sample["tokens.i32"], "<i4"))
            assert np.frombuffer(sample["lens.i32"], "<i4").sum() == len(tokens[-1])
    written = np.concatenate([document.tokens for document in documents_of(list(range(1, 40)), with_targets=True)])
    assert np.concatenate(tokens).tolist() == written.tolist()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = _written(tmp_path_factory.mktemp("shards") / "s", [30, 5, 80, 2], shard_tokens=60)
    clean = _outcome(folder)
    shard = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(shard.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    content[place] ^= 1 << bit
    shard.write_bytes(content)
    outcome = _outcome(folder)
    if shard.name == "vocabulary.json":  # a flip in its white space is harmless
        assert outcome == clean or outcome.startswith(f"{shard}: "), outcome
    else:
        assert outcome.startswith(f"{shard}: "), outcome


def _outcome(folder: Path) -> str:
    """The error of reading the folder, or its content."""
    try:
        return repr([(d.key, d.tokens.tolist(), d.target_start) for d in read_documents(folder, vocabulary=VOCABULARY)])
    except (ValueError, FileNotFoundError) as error:
        return str(error)


@pytest.mark.parametrize("name", ["shards.json", "toy-000000.mspx"])
def test_a_damaged_index_is_named(tmp_path: Path, name: str):
    folder = _written(tmp_path / "shards", [5, 6])
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1], content + b"\n", content[:20], b""):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}: .*checksum.*tools/index_shards.py"):
            list(read_documents(folder))


def test_a_damaged_member_is_named_with_its_offset(tmp_path: Path):
    folder = _written(tmp_path / "shards", [50])
    shard = folder / "toy-000000.tar"
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        offset = next(member.offset_data for member in tar if member.name.endswith("tokens.i32"))
    content[offset + 8] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=rf"toy-000000.tar: block 0, tokens.i32 at byte {offset}: checksum differs"):
        list(read_documents(folder))


@pytest.mark.parametrize("keep", [0, 511, 512, 1024, 5000])
def test_truncation_is_named(tmp_path: Path, keep: int):
    folder = _written(tmp_path / "shards", [50, 60])
    shard = folder / "toy-000000.tar"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"toy-000000.tar: {keep} bytes where its index states"):
        list(read_documents(folder))


def test_swapped_and_missing_files_are_named(tmp_path: Path):
    folder = _written(tmp_path / "shards", [50] * 8, shard_tokens=100)
    first, second = folder / "toy-000000.tar", folder / "toy-000001.tar"
    for suffixes in ([".tar"], [".mspx"], [".tar", ".mspx"]):
        copy = tmp_path / "-".join(suffixes)
        shutil.copytree(folder, copy)
        for suffix in suffixes:
            shutil.copy(folder / f"{first.stem}{suffix}", copy / f"{second.stem}{suffix}")
        with pytest.raises(ValueError, match=r"toy-000001.*(checksum|swapped|index states)"):
            list(read_documents(copy))
    second.unlink()
    with pytest.raises(FileNotFoundError, match=r"toy-000001.tar is missing"):
        list(read_documents(folder))


def test_another_vocabulary_is_refused(tmp_path: Path):
    folder = _written(tmp_path / "shards", [5])
    with pytest.raises(ValueError, match="vocabulary fingerprint"):
        list(read_documents(folder, vocabulary=Vocabulary(num_text_ids=100, num_speech_ids=51)))


@pytest.mark.parametrize(
    ("tokens", "target", "rule"),
    [
        ([], 0, "is empty"),
        ([1, 2], 2, "target_start=2"),
        ([1, VOCABULARY.size], 0, "leaves the vocabulary"),
        ([-1], 0, "leaves the vocabulary"),
        ([1, 0, 2], 0, "end-of-document"),
    ],
)
def test_unusable_documents_are_named(tmp_path: Path, tokens: list[int], target: int, rule: str):
    document = TokenDocument(key="k7", tokens=np.array(tokens, np.int32), target_start=target)
    with pytest.raises(ValueError, match=rf"document 'k7'.*{rule}"):
        write_documents(tmp_path / "shards", [document], vocabulary=VOCABULARY, name="toy")
    assert not (tmp_path / "shards" / "shards.json").exists()


def test_no_documents_is_an_error_and_shards_are_never_overwritten(tmp_path: Path):
    with pytest.raises(ValueError, match="nothing to write"):
        write_documents(tmp_path / "none", [], vocabulary=VOCABULARY, name="toy")
    folder = _written(tmp_path / "shards", [5])
    with pytest.raises(FileExistsError, match="already holds finished shards"):
        _written(folder, [5])


def test_bare_codes_may_use_id_zero(tmp_path: Path):
    codes = Vocabulary.of_codes(16, "tokenizer")
    document = TokenDocument(key="utterance", tokens=np.array([0, 3, 0, 15], np.int32))
    facts = write_documents(tmp_path / "codes", [document], vocabulary=codes, name="codes")
    assert (facts["text_tokens"], facts["speech_tokens"]) == (0, 4)
    assert next(iter(read_documents(tmp_path / "codes"))).tokens.tolist() == [0, 3, 0, 15]
