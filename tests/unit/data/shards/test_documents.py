"""Documents through shards: byte-reproducible, and refusing what cannot be trained on."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents, write_documents
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
    assert facts.documents == len(documents)
    assert facts.tokens == len(tokens)
    assert facts.speech_tokens == (tokens >= VOCABULARY.first_speech_id).sum()


def test_equal_documents_give_equal_bytes(tmp_path: Path):
    lengths = list(range(1, 40))
    one, two = _written(tmp_path / "one", lengths), _written(tmp_path / "two", lengths)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize("name", ["shards.json", "toy-000000.mspx"])
def test_a_damaged_index_is_named(tmp_path: Path, name: str):
    folder = _written(tmp_path / "shards", [5, 6])
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1], content + b"\n", content[:20], b""):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}: .*checksum.*megatron-speech index_shards"):
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
    killed_at_its_end = folder.rename(tmp_path / "shards.partial")
    _written(killed_at_its_end, [5, 7])
    assert [len(document.tokens) for document in read_documents(killed_at_its_end)] == [5, 7]


def test_bare_codes_may_use_id_zero(tmp_path: Path):
    codes = Vocabulary.of_codes(16, "tokenizer")
    document = TokenDocument(key="utterance", tokens=np.array([0, 3, 0, 15], np.int32))
    facts = write_documents(tmp_path / "codes", [document], vocabulary=codes, name="codes")
    assert (facts.text_tokens, facts.speech_tokens) == (0, 4)
    assert next(iter(read_documents(tmp_path / "codes"))).tokens.tolist() == [0, 3, 0, 15]
