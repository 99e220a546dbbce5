"""Folders of token shards: what the tools that look at them, verify, rebuild and export them are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_speech.config.run.reader import require_local


@dataclass(frozen=True, kw_only=True)
class InspectShardsConfig:
    """What to show of a folder of shards."""

    folder: Path
    """Folder of document shards or packed shards."""
    samples: int = 3
    """Documents or rows to print, from the start."""
    tokenizer: Path | None = None
    """Vocabulary folder to show tokens as text; null to print ids."""
    width: int = 400
    """Characters shown per sample."""

    def __post_init__(self) -> None:
        require_local("folder", self.folder)
        for name, least in (("samples", 0), ("width", 4)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}; raise it")


@dataclass(frozen=True, kw_only=True)
class VerifyShardsConfig:
    """What to read whole and compare with its checksums."""

    folders: list[Path]
    """Folders of document shards or packed shards."""
    ids: bool = False
    """Also examine what the bytes mean: ids within the vocabulary, lengths that add up, boundaries that increase."""
    output: Path | None = None
    """JSON file for the report; null to print alone."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise ValueError("folders=[] names nothing to verify; give at least one folder")
        for folder in self.folders:
            require_local("folders", folder)


@dataclass(frozen=True, kw_only=True)
class IndexShardsConfig:
    """A folder whose sidecars and shards.json are made again from its tars."""

    folder: Path
    """Folder of document shards or packed shards with its vocabulary.json."""

    def __post_init__(self) -> None:
        require_local("folder", self.folder)


@dataclass(frozen=True, kw_only=True)
class ExportIndexedDatasetConfig:
    """A folder of shards to one that megatron-core opens as `IndexedDataset`s."""

    input: Path
    """Folder of document shards or packed shards; it stays, the export points into it."""
    output: Path
    """Folder to make: <shard>.idx, and <shard>.bin as a link to the tar."""

    def __post_init__(self) -> None:
        require_local("input", self.input)
