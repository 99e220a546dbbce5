"""The interface of folder layouts: which files say what is in a folder of recordings, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.audio.sources.listed import ListedUtterance
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

Read = Callable[[], Iterable[ListedUtterance]]
"""Reads the utterances of one shard, in the process that writes it."""


@dataclass(frozen=True, kw_only=True)
class FolderContents:
    """What a folder holds."""

    inputs: Mapping[str, str]
    """Identities of the files that say so, by path."""
    utterances: Sequence[ListedUtterance] = ()
    """Utterances that are known at once; they are divided into shards later."""
    reads: Sequence[Read] = ()
    """Further utterances, each read a shard of its own."""


@dataclass(frozen=True, kw_only=True)
class FolderLayout:
    """One way in which folders of recordings are laid out."""

    sign: str
    """The files by which it is known, for errors."""
    find: Callable[[Path], list[Path]]
    """The files of a folder that say what is in it; none where the folder has another layout."""
    read: Callable[[Path, list[Path], ImportSpeechConfig, int], FolderContents]
    """Contents of a folder with these files; the last argument is the number of utterances before it."""
    has_columns: bool = False
    """Whether the settings `columns` and `metadata` apply."""
