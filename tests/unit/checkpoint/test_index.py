"""The index of a checkpoint is a pickle: no damaged byte of it is unpickled, and nothing that it spells is a crash."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path, PosixPath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.index import INDEX, read_index
from megatron_speech.checkpoint.weights_writer import write_weights
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "step_3"
    partial = folders.begin(folder)
    write_weights(partial, [("a.weight", 0, torch.ones(3, 2)), ("b.weight", None, torch.ones(2))], num_layers=1)
    vocabulary = Vocabulary(num_text_ids=60, num_speech_ids=60)
    folders.write_facts(partial, model=ModelConfig(num_layers=2), vocabulary=vocabulary, state=CheckpointState(step=3))
    folders.write_checksums(partial, folders.checksums(partial.iterdir()))
    folders.complete(partial)
    return folder


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "step_3")


def _flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_every_flipped_bit_is_damage_by_name(copy: Path) -> None:
    content = (copy / INDEX).read_bytes()
    for bit in range(8 * len(content)):
        (copy / INDEX).write_bytes(_flipped(content, bit))
        with pytest.raises(ValueError, match=r"step_3/\.metadata does not match its checksum"):
            read_index(copy)


def test_no_damaged_byte_is_unpickled(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("megatron_speech.checkpoint.index._AllowListUnpickler", pytest.fail)
    (copy / INDEX).write_bytes((copy / INDEX).read_bytes() + b"\n")
    with pytest.raises(ValueError, match="does not match its checksum"):
        read_index(copy)


def test_what_a_sealed_index_spells_is_never_a_crash(copy: Path) -> None:
    """With matching checksums, as someone would write who wants it read."""
    content, size = (copy / INDEX).read_bytes(), len((copy / INDEX).read_bytes())
    others = [path for path in copy.iterdir() if path.name not in (INDEX, folders.CHECKSUMS)]
    sums = folders.checksums(others)

    @settings(max_examples=400, deadline=None)
    @given(bit=st.integers(0, 8 * size - 1))
    def check(bit: int) -> None:
        (copy / INDEX).write_bytes(_flipped(content, bit))
        folders.write_checksums(copy, {**sums, **folders.checksums([copy / INDEX])})
        try:
            read_index(copy)
        except ValueError as error:
            assert str(copy / INDEX) in str(error) and "\n" not in str(error)

    check()


@pytest.mark.parametrize("damage", [b"", b"garbage", bytes(200)])
def test_no_pickle_at_all(copy: Path, damage: bytes) -> None:
    (copy / INDEX).write_bytes(damage)
    names = [path for path in copy.iterdir() if path.name != folders.CHECKSUMS]
    folders.write_checksums(copy, folders.checksums(names))
    with pytest.raises(ValueError, match=r"\.metadata is no checkpoint index"):
        read_index(copy)
    (copy / INDEX).unlink()
    with pytest.raises(FileNotFoundError, match=r"has lost \.metadata; restore it from a copy"):
        read_index(copy)


def _seal(folder: Path, index: object) -> None:
    (folder / INDEX).write_bytes(pickle.dumps(index))
    files = [path for path in folder.iterdir() if path.name != folders.CHECKSUMS]
    folders.write_checksums(folder, folders.checksums(files))


def test_an_index_that_python_3_11_2_wrote_is_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That version pickles a member of an enumeration as an attribute of its class."""
    index = read_index(copy)
    monkeypatch.setattr(_MEM_FORMAT_ENCODING, "__reduce_ex__", lambda self, _: (getattr, (type(self), self.name)))
    _seal(copy, index)
    assert b"getattr" in (copy / INDEX).read_bytes() and read_index(copy) == index


class _Attribute:
    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, (PosixPath, "unlink")


def test_no_other_attribute_is_looked_up(copy: Path) -> None:
    _seal(copy, _Attribute())
    with pytest.raises(ValueError, match=r"\.metadata asks for an attribute 'unlink', which no index needs; do not"):
        read_index(copy)
