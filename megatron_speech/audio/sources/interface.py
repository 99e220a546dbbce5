"""Interface of folder layouts: finds the files that describe a folder of recordings, and reads them."""

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
    """Contents of a folder of recordings."""

    inputs: Mapping[str, str]
    """Identities of the files that list the contents, by path."""
    utterances: Sequence[ListedUtterance] = ()
    """Utterances that are known at once; they are divided into shards later."""
    reads: Sequence[Read] = ()
    """Readers of further utterances, each for a shard of its own."""


@dataclass(frozen=True, kw_only=True)
class FolderLayout:
    """One layout of folders of recordings."""

    sign: str
    """Files that show the layout, for error messages."""
    find: Callable[[Path], list[Path]]
    """Files of a folder that list its contents; empty if the folder has another layout."""
    read: Callable[[Path, list[Path], ImportSpeechConfig, int], FolderContents]
    """Contents of a folder with these files; the last argument is the number of utterances before it."""
    has_columns: bool = False
    """Whether the settings `columns` and `metadata` apply."""
