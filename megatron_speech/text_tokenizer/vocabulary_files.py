"""Checksums of a vocabulary folder: a file that was damaged or edited is named before it is used.

Tokenizer and settings in such a folder reach every shard and every export. Most damage leaves them readable.
"""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.facts.vocabulary import VocabularyFilesFacts
from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.artifacts.manifest import MANIFEST, MARKER, read_facts, read_manifest

_MEND = "restore it from a copy, or build the vocabulary again"


def file_checksums(folder: Path) -> dict[str, str]:
    """xxh3_128 of every file by its path in the draft `folder`, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): file_xxh3(path) for path in files}


def require_whole(folder: Path, *names: str) -> None:
    """Compare files of a vocabulary folder, by default all, with the checksums in its manifest.

    Folders of other kinds, such as exports, and folders without checksums are not checked. Raises ValueError for a file
    that differs, FileNotFoundError for one that is missing.
    """
    if not (folder / MANIFEST).is_file() or read_manifest(folder).kind != "vocabulary":
        return
    sums = read_facts(folder, VocabularyFilesFacts).files or {}
    for name in names or sums:
        if name not in sums:
            continue
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has lost {name}; {_MEND}")
        if file_xxh3(folder / name) != sums[name]:
            raise ValueError(f"{folder / name} differs from its checksum in {MANIFEST}: damaged or edited; {_MEND}")
