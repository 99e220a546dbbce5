"""Joins the shards of many finished folders into one, by moving the files; a killed join can be continued.

Shards lie in ``<output>.tasks/<folder>`` until they are moved to ``<output>.partial`` or a subfolder of it. After that
this is their only place, so it is not deleted for other settings. A folder is made again if its shards are in neither
place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from megatron_speech.artifacts.manifest import PARTIAL
from megatron_speech.artifacts.tasks import output_of
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.data.shards.sidecar import sidecar
from megatron_speech.storage.interface import FOLDER_INDEX


def join_documents(output: Path, folders: list[Path]) -> FolderIndex:
    """Move the shards of finished `folders` into `output`, in order, and return its index.

    All shard names must differ. After a kill, the same call continues. Raises FileNotFoundError for a lost shard.
    """
    parts = [FolderIndex.load(folder) for folder in folders]
    for folder, part in zip(folders, parts, strict=True):
        for name in _files(folder, part):
            if (folder / name).exists():
                (folder / name).rename(output / name)
            elif not (output / name).exists():
                raise FileNotFoundError(f"{folder / name} is gone; run the tasks again to remake it")
    index = replace(parts[0], shards=[shard for part in parts for shard in part.shards])
    index.save(output)
    return index


def is_whole(folder: Path) -> bool:
    """Whether all shard files of a finished folder still exist, there or where a join has moved them."""
    if not (folder / FOLDER_INDEX).is_file():
        return False
    output = output_of(folder.parent)
    partial = output.with_name(output.name + PARTIAL)
    places = [folder, partial, *(path for path in partial.glob("*") if path.is_dir())]
    return all(any((place / name).exists() for place in places) for name in _files(folder, FolderIndex.load(folder)))


def _files(folder: Path, index: FolderIndex) -> list[str]:
    return [name for shard in index.shards for name in (shard.name, sidecar(folder, shard.name).name)]
