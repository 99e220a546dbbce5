"""One folder of the shards of many: they are moved, not copied, and a join that was killed goes on.

Shards lie in ``<output>.tasks/<folder>`` until they are moved to ``<output>.partial``, or to a folder in it. From then
on that is their only place: it is not deleted for another setting, and a folder whose shards are in neither place is
made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.manifest import PARTIAL, Inputs, require_same_draft
from megatron_speech.artifacts.tasks import output_of
from megatron_speech.data.shards.index import FolderIndex, sidecar
from megatron_speech.storage.interface import FOLDER_INDEX


def join_documents(output: Path, folders: list[Path]) -> FolderIndex:
    """Move the shards of finished folders, whose names all differ, into `output`, in order; returns its index.

    Repeated after a kill it goes on where it stood.
    """
    parts = [FolderIndex.load(folder) for folder in folders]
    for folder, part in zip(folders, parts, strict=True):
        for name in _files(folder, part):
            if (folder / name).exists():
                (folder / name).rename(output / name)
            elif not (output / name).exists():
                raise FileNotFoundError(f"{folder / name} is gone; run the tasks again, which make it again")
    index = replace(parts[0], shards=[shard for part in parts for shard in part.shards])
    index.save(output)
    return index


def refuse_other_join(output: Path, *, kind: str, config: Any, inputs: Callable[[], Inputs]) -> None:
    """ValueError where a join that did not end has moved shards already, and was begun from something else.

    `inputs` are looked at only then: all of them are read.
    """
    if any(output.with_name(output.name + PARTIAL).rglob("*.tar")):
        require_same_draft(output, kind=kind, config=config, inputs=inputs())


def is_whole(folder: Path) -> bool:
    """Whether all files of the shards of a finished folder are there, or where a join moves them to."""
    if not (folder / FOLDER_INDEX).is_file():
        return False
    output = output_of(folder.parent)
    partial = output.with_name(output.name + PARTIAL)
    places = [folder, partial, *(path for path in partial.glob("*") if path.is_dir())]
    return all(any((place / name).exists() for place in places) for name in _files(folder, FolderIndex.load(folder)))


def _files(folder: Path, index: FolderIndex) -> list[str]:
    return [name for shard in index.shards for name in (shard.name, sidecar(folder, shard.name).name)]
