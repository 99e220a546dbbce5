"""Reads whole folders of shards and reports every damage with file, block, member and byte.

Reading for training stops at the first damage. This scan does not stop, so it lists everything to be restored. A shard
with an unusable sidecar is walked member by member. Cost: every byte is read; ids=true also checks the content.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import xxhash

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, require_place
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.shards import VerifyShardsConfig
from megatron_speech.data.shards.contents import examine
from megatron_speech.data.shards.damage import Damage, against_manifest
from megatron_speech.data.shards.index import FolderIndex, require_token_shards
from megatron_speech.data.shards.rebuild import examine_tar
from megatron_speech.data.shards.sidecar import REBUILD, ShardIndex, map_file, sidecar
from megatron_speech.progress import Progress
from megatron_speech.storage.interface import FOLDER_INDEX
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def verify_shards(config: VerifyShardsConfig) -> Iterator[Damage]:
    """Yield every damage in `config.folders` as it is found; the report is written at the end.

    Raises:
        FileNotFoundError: one of the folders does not exist.
    """
    for folder in config.folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"folders: {folder} is no folder; correct the path")
    if config.output:  # fail now, not after hours of reading, if the folder cannot be written
        require_place(config.output, config.folders)
        config.output.parent.mkdir(parents=True, exist_ok=True)
    report = {}
    for folder in config.folders:
        total = sum(path.stat().st_size for path in folder.glob("*.tar") if path.is_file())
        damages = []
        with Progress(f"verify_shards {folder.name}", unit="bytes", total=total) as progress:
            for damage in verify_folder(folder, ids=config.ids, advance=progress.add):
                damages.append({**vars(damage), "file": str(damage.file)})
                yield damage
        report[str(folder)] = {"bytes": total, "ids": config.ids, "damages": damages}
    if config.output:
        write_atomic(config.output, to_json(report, indent=1) + "\n")


def verify_folder(folder: Path, *, ids: bool, advance: Callable[[int], object] = lambda size: None) -> Iterator[Damage]:
    """Yield every damage of one folder; `advance` is called with the number of bytes read."""
    # Check what describes the shards: list, manifest, vocabulary.
    vocabulary = index = None
    require_token_shards(folder)
    if not (folder / FOLDER_INDEX).exists() and not [*folder.glob("*.tar"), *folder.glob("*.mspx")]:
        yield Damage(file=folder, what="holds no shards; correct the path, or make the folder again")
        return
    try:
        index = FolderIndex.load(folder)
        if damage := against_manifest(folder, index):
            yield damage
    except FileNotFoundError:
        yield Damage(file=folder / FOLDER_INDEX, what=f"is missing: lost, or the stage was not finished; {REBUILD}")
    except ValueError as error:
        yield Damage.of(folder / FOLDER_INDEX, error)
    if not (folder / MANIFEST).is_file():
        logger.warning("%s: no %s, so shards are compared only with the checksums beside them", folder, MANIFEST)
    try:
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        if index is not None:
            vocabulary.require(index.vocabulary, holder=str(folder / FOLDER_INDEX))
    except (ValueError, FileNotFoundError) as error:
        yield Damage.of(folder / "vocabulary.json", error)
        vocabulary = None
    # Check that files and list agree, then every shard.
    listed = [shard.name for shard in index.shards] if index else []
    for path in sorted([*folder.glob("*.tar"), *folder.glob("*.mspx")]):
        if index and path.with_suffix(".tar").name not in listed:
            yield Damage(file=path, what=f"{FOLDER_INDEX} does not list it; move it away")
    names = listed or sorted(path.name for path in folder.glob("*.tar"))
    for number, name in enumerate(names):
        try:
            shard = index.shard(folder, number) if index else ShardIndex.load(folder, name)
        except (ValueError, FileNotFoundError) as error:
            yield Damage.of(sidecar(folder, name), error)
            shard = None
        yield from _verify_shard(folder / name, shard, vocabulary, ids=ids)
        advance((folder / name).stat().st_size if (folder / name).is_file() else 0)


def _verify_shard(
    path: Path, shard: ShardIndex | None, vocabulary: Vocabulary | None, *, ids: bool
) -> Iterator[Damage]:
    if not path.is_file():
        yield Damage(file=path, what=f"is missing though {FOLDER_INDEX} lists it; restore it")
    elif shard is not None:
        yield from _compare(path, shard, vocabulary if ids else None)
    elif vocabulary is not None:
        yield from examine_tar(path, vocabulary=vocabulary)[1]


def _compare(path: Path, shard: ShardIndex, vocabulary: Vocabulary | None) -> Iterator[Damage]:
    """Yield the differences between a tar and its intact sidecar; also checks the content if `vocabulary` is given."""
    tar = map_file(path)
    if len(tar) != shard.num_bytes:
        what = f"{len(tar)} bytes where its sidecar states {shard.num_bytes}: truncated, appended to or swapped"
        yield Damage(file=path, byte=min(len(tar), shard.num_bytes), what=what)
    for block in range(len(shard)):
        intact = {}
        for name in shard.names:
            member = shard.member(block, name)
            start, end = member.span
            if end > len(tar):
                what = f"cut off with all that follows: the file ends at byte {len(tar)}"
                yield Damage(file=path, block=block, member=name, byte=member.offset, what=what)
                return
            if xxhash.xxh3_64_intdigest(tar[start:end]) == member.checksum:
                intact[name] = tar[member.offset : member.offset + member.size]
            else:
                what = f"checksum of bytes {start} to {end} differs: damaged or swapped"
                yield Damage(file=path, block=block, member=name, byte=member.offset, what=what)
        if vocabulary is not None and len(intact) == len(shard.names):
            yield from _examine(path, shard, block, intact, vocabulary)
    end_mark = bytes(tar[shard.end :])
    if garbage := end_mark.lstrip(b"\0"):
        what = f"nothing but zeros may follow from byte {shard.end} on: damaged, or garbage follows"
        yield Damage(file=path, byte=shard.end + len(end_mark) - len(garbage), what=what)


def _examine(
    path: Path, shard: ShardIndex, block: int, payloads: dict[str, memoryview], vocabulary: Vocabulary
) -> Iterator[Damage]:
    """Yield the faults in the content of a block with correct checksums."""
    found = examine(shard.kind, payloads, vocabulary=vocabulary, seq_length=shard.seq_length)
    for name, byte, what in found.faults:
        yield Damage(file=path, block=block, member=name, byte=shard.member(block, name).offset + byte, what=what)
    counts = (found.items, found.text_tokens, found.speech_tokens)
    if not found.faults and counts != shard.blocks[block].item():
        what = (
            f"items, text and speech tokens {counts} where its sidecar states {shard.blocks[block].item()}; {REBUILD}"
        )
        yield Damage(file=path, block=block, what=what)
