"""The way over the disk: rows depend on the seed and the documents, damage and repeated keys are named."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_documents, pack_shards
from megatron_speech.data.packing.shuffle import Buckets
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.rows import RowFolder
from tests.toys import VOCABULARY, documents_of

SEQ = 16
SMALL = {"BLOCK_TOKENS": 3 * (SEQ + 1), "WINDOW_TOKENS": 90, "WINDOW_ROWS": 1, "WINDOW_DOCUMENTS": 20}


def _write(folder: Path, documents: Sequence[TokenDocument], *, shard_tokens: int = 100) -> Path:
    """A document folder as a stage leaves it."""
    with make_artifact(folder, kind="documents", config={}) as draft:
        write_documents(draft.folder, documents, vocabulary=VOCABULARY, name="toy", shard_tokens=shard_tokens)
    return folder


def _rows(output: Path, keys: Sequence[str], *, buckets: int = 1, **config: Any) -> list[tuple[list, ...]]:
    """Tokens, boundaries, contexts and keys of all rows."""
    with (
        mock.patch("megatron_speech.data.packing.pack.num_buckets", lambda source, memory: buckets),
        mock.patch.multiple("megatron_speech.data.packing.layout", **SMALL),
    ):
        pack_documents(output, PackShardsConfig(output=output, seq_length=SEQ, **config))
    rows = RowFolder(output)
    found = [(rows.row(number, target_only=True), rows.documents(number)) for number in range(len(rows))]
    return [
        (row.tokens.tolist(), row.cu_seqlens.tolist(), row.context.tolist(), [n < 0 or keys[n] for n in numbers])
        for row, numbers in found
    ]


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_rows_depend_on_seed_and_documents_alone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    root = tmp_path_factory.mktemp("s")
    documents = documents_of(data.draw(st.lists(st.integers(1, 50), min_size=2, max_size=60)), with_targets=True)
    config = {
        "algorithm": data.draw(st.sampled_from(["concat", "best_fit"])),
        "cut_speech_spans": data.draw(st.booleans()),
        "overlong": data.draw(st.sampled_from(["drop", "split"])),
        "seed": data.draw(st.integers(0, 9)),
    }
    if config["overlong"] == "drop":
        documents.append(TokenDocument(key="fits", tokens=np.array([3], np.int32)))
    keys = [document.key for document in documents]
    wanted = _rows(root / "one", keys, input=_write(root / "all", documents), **config)
    mixed = data.draw(st.permutations(documents))
    half = data.draw(st.integers(1, len(mixed) - 1))
    inputs = [_write(root / "a", mixed[:half], shard_tokens=30), _write(root / "b", mixed[half:], shard_tokens=500)]
    found = _rows(
        root / "two",
        [document.key for document in mixed],
        input=inputs,
        buckets=data.draw(st.integers(2, 40)),
        **config,
    )
    assert found == wanted


@pytest.mark.parametrize("algorithm", ["concat", "best_fit"])
def test_memory_changes_no_byte(tmp_path: Path, algorithm: Any):
    source = _write(tmp_path / "documents", documents_of([20_000 + index for index in range(40)]), shard_tokens=200_000)
    folders = {}
    for memory in (1 << 26, 1 << 30):
        folders[memory] = tmp_path / str(memory)
        config = PackShardsConfig(
            input=source,
            output=folders[memory],
            memory=memory,
            seq_length=4096,
            algorithm=algorithm,
            overlong="split",
        )
        with (
            mock.patch("megatron_speech.data.packing.pack.SHARE", 256),
            mock.patch("megatron_speech.data.packing.shuffle.SHARE", 256),
            mock.patch.object(Buckets, "append", autospec=True, side_effect=Buckets.append) as append,
            mock.patch.object(Buckets, "read", autospec=True, side_effect=Buckets.read) as read,
        ):
            pack_documents(folders[memory], config)
        assert (append.call_count > 1) == (read.call_count > 1) == (memory == 1 << 26)
    few, much = (sorted(folder.iterdir()) for folder in folders.values())
    assert [path.name for path in few] == [path.name for path in much]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(few, much, strict=True))


def test_equal_hashes_are_settled_by_key(tmp_path: Path):
    documents = documents_of([5] * 30)
    with mock.patch(
        "megatron_speech.data.packing.document_folders.xxh3_numbers",
        lambda keys, seed: np.array([len(key) % 2 for key in keys], np.uint64) << np.uint64(63),
    ):
        one = _rows(tmp_path / "one", [d.key for d in documents], input=_write(tmp_path / "a", documents))
        documents.reverse()
        two = _rows(tmp_path / "two", [d.key for d in documents], input=_write(tmp_path / "b", documents), buckets=2)
    assert one == two


def test_a_key_in_two_folders_is_named(tmp_path: Path):
    documents = documents_of([5] * 30)
    inputs = [_write(tmp_path / "a", documents[:20]), _write(tmp_path / "b", documents[17:18])]
    with pytest.raises(ValueError, match=r"key 'document-17' names document 0 of .*/b and document 17 of .*/a; "):
        pack_documents(tmp_path / "rows", PackShardsConfig(input=inputs, output=tmp_path / "rows"))


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_what_the_disk_damages_is_named(tmp_path: Path, damage: str):
    source = _write(tmp_path / "documents", documents_of([30] * 20))

    def damaged(buckets: Buckets, number: int, **arguments: Any) -> Any:
        path = tmp_path / "rows" / "shuffle" / f"{number}.bucket"
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content if damage == "flip" else content[:200] if damage == "truncate" else b"")
        return read(buckets, number, **arguments)

    read = Buckets.read
    with (
        mock.patch.object(Buckets, "read", damaged),
        pytest.raises(ValueError, match=r"shuffle/0.bucket: .*check the disk"),
    ):
        pack_documents(tmp_path / "rows", PackShardsConfig(input=source, output=tmp_path / "rows"))


def test_a_killed_attempt_leaves_nothing_behind(tmp_path: Path):
    source = _write(tmp_path / "documents", documents_of([30] * 20))
    config = PackShardsConfig(input=source, output=tmp_path / "rows", seq_length=SEQ, shard_tokens=100)
    with (
        mock.patch.object(Buckets, "__exit__", return_value=None),
        mock.patch.object(Buckets, "read", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        pack_shards(config)
    assert not config.output.exists()
    partial = tmp_path / "rows.partial"
    assert (partial / "shuffle" / "0.bucket").stat().st_size
    (partial / "shuffle" / "7.bucket").write_bytes(b"rubbish")
    (partial / "packed-000000.tar").write_bytes(b"rubbish")
    pack_shards(config)
    once = sorted(path.relative_to(config.output) for path in config.output.iterdir())
    assert not partial.exists() and Path("shuffle") not in once
    shutil.move(config.output, tmp_path / "first")
    pack_shards(config)
    assert once == sorted(path.relative_to(config.output) for path in config.output.iterdir())
    assert all((tmp_path / "first" / name).read_bytes() == (config.output / name).read_bytes() for name in once)
    pack_shards(PackShardsConfig(**{**vars(config), "memory": 1 << 26}))  # is made: memory changes no row
