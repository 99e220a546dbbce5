"""Ways to damage a folder of shards: functions from the folder to the file that an error must name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from megatron_speech.data.shards.sidecar import Member, ShardIndex, sidecar
from megatron_speech.vocabulary import Vocabulary
from tests.toys import VOCABULARY


def tars(folder: Path) -> list[Path]:
    """The folder's shards in order."""
    return sorted(folder.glob("*.tar"))


def index_of(tar: Path) -> ShardIndex:
    """The sidecar of a tar."""
    return ShardIndex.load(tar.parent, tar.name)


def member_of(folder: Path, name: str | None = None, *, block: int = 1) -> tuple[Path, Member]:
    """The first tar, and a member of its block `block`: the one called `name`, by default the first."""
    tar = tars(folder)[0]
    shard = index_of(tar)
    return tar, shard.member(block, name or shard.names[0])


def patch(path: Path, byte: int, content: bytes) -> Path:
    """Overwrite bytes of a file at offset `byte`; asserts that they change."""
    whole = bytearray(path.read_bytes())
    assert whole[byte : byte + len(content)] != content
    whole[byte : byte + len(content)] = content
    path.write_bytes(whole)
    return path


def cut(path: Path, size: int) -> Path:
    """Truncate a file to `size` bytes."""
    path.write_bytes(path.read_bytes()[:size])
    return path


def _in_payload(folder: Path) -> Path:
    tar, tokens = member_of(folder, "tokens.i32")
    return patch(tar, tokens.offset + 5, b"\xa5")


def _in_header(byte: int, content: bytes) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        tar, first = member_of(folder)
        return patch(tar, first.span[0] + byte, content)

    return damage


def _cut_relative_to_payload(byte: int) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        tar, tokens = member_of(folder, "tokens.i32")
        return cut(tar, tokens.offset + byte)

    return damage


def _without_end_mark(folder: Path) -> Path:
    return cut(tars(folder)[0], index_of(tars(folder)[0]).end)


def _lengths(folder: Path) -> Path:
    name = "lens.i32" if index_of(tars(folder)[0]).kind == "documents" else "cuptr.i32"
    tar, member = member_of(folder, name)
    return patch(tar, member.offset + member.size - 4, bytes(4))


def _first_id(value: int) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        tar, tokens = member_of(folder, "tokens.i32")
        return patch(tar, tokens.offset, np.array([value], "<i4").tobytes())

    return damage


def _swapped_tar(folder: Path) -> Path:
    first, second = tars(folder)[:2]
    shutil.copy(first, second)
    return second


def _swapped_sidecar(folder: Path) -> Path:
    first, second = (sidecar(folder, tar.name) for tar in tars(folder)[:2])
    shutil.copy(first, second)
    return second


def _swapped_both(folder: Path) -> Path:
    _swapped_tar(folder)
    return _swapped_sidecar(folder)


def _stale_sidecar(folder: Path) -> Path:
    """A valid sidecar that describes an earlier version of the shard."""
    tar = tars(folder)[0]
    shard = index_of(tar)
    members = shard.members.copy()
    members["checksum"][0, 0] ^= np.uint64(1)
    ShardIndex(**{**vars(shard), "members": members}).save(folder)
    return sidecar(folder, tar.name)


def _remove(suffix: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        path = tars(folder)[1].with_suffix(suffix)
        path.unlink()
        return path

    return damage


def _without_list(folder: Path) -> Path:
    (folder / "shards.json").unlink()
    return folder / "shards.json"


def _trailing_garbage(folder: Path) -> Path:
    tar = tars(folder)[0]
    tar.write_bytes(tar.read_bytes() + b"garbage")
    return tar


def _garbage_in_end_mark(folder: Path) -> Path:
    tar = tars(folder)[0]
    return patch(tar, index_of(tar).end + 600, b"garbage")


def _half_a_list(folder: Path) -> Path:
    path = folder / "shards.json"
    return cut(path, path.stat().st_size // 2)


def _edited_list(folder: Path) -> Path:
    path = folder / "shards.json"
    path.write_text(path.read_text().replace('"items":', '"items":1', 1))
    return path


def _another_vocabulary(folder: Path) -> Path:
    Vocabulary(num_text_ids=100, num_speech_ids=51).save(folder / "vocabulary.json")
    return folder / "vocabulary.json"


IN_TARS: dict[str, Callable[[Path], Path]] = {
    "bit flip in a payload": _in_payload,
    "bit flip in the name of a header": _in_header(0, b"x"),
    "bit flip in the size of a header": _in_header(130, b"7"),
    "bit flip in the checksum of a header": _in_header(150, b"9"),
    "extended header": _in_header(156, b"x"),
    "two zero blocks": _in_header(0, bytes(1024)),
    "truncated at a member": _cut_relative_to_payload(-512),
    "truncated in a header": _cut_relative_to_payload(-100),
    "truncated in a payload": _cut_relative_to_payload(8),
    "truncated to nothing": lambda folder: cut(tars(folder)[1], 0),
    "truncated end mark": _without_end_mark,
    "garbage in the end mark": _garbage_in_end_mark,
    "trailing garbage": _trailing_garbage,
    "lengths": _lengths,
    "negative id": _first_id(-1),
    "id out of range": _first_id(VOCABULARY.size),
    "swapped shard": _swapped_tar,
    "missing shard": _remove(".tar"),
}
"""Damages that only another copy of the tar can repair."""
BESIDE_TARS: dict[str, Callable[[Path], Path]] = {
    "truncated sidecar": lambda folder: cut(sidecar(folder, tars(folder)[0].name), 100),
    "swapped sidecar": _swapped_sidecar,
    "stale sidecar": _stale_sidecar,
    "missing sidecar": _remove(".mspx"),
    "missing list": _without_list,
    "truncated list": _half_a_list,
    "edited list": _edited_list,
}
"""Damages that `index_shards` repairs."""
DAMAGES = {**IN_TARS, **BESIDE_TARS, "swapped shard and sidecar": _swapped_both, "vocabulary": _another_vocabulary}
