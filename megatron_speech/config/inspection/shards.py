"""Settings of the tools that inspect, verify, re-index and export folders of token shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_speech.config.parsing.inputs import ShardsFolder, VocabularyFolder
from megatron_speech.config.run.reader import require_local


@dataclass(frozen=True, kw_only=True)
class InspectShardsConfig:
    """Show counts and first samples of a folder of shards."""

    folder: ShardsFolder
    """Folder of document shards or packed shards."""
    samples: int = 3
    """Number of documents or rows to print, from the start."""
    tokenizer: VocabularyFolder | None = None
    """Vocabulary folder for printing tokens as text; null prints ids."""
    width: int = 400
    """Largest number of characters per printed sample."""

    def __post_init__(self) -> None:
        require_local("folder", self.folder)
        for name, least in (("samples", 0), ("width", 4)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}; raise it")


@dataclass(frozen=True, kw_only=True)
class VerifyShardsConfig:
    """Read whole folders of shards and compare them with their checksums."""

    folders: list[ShardsFolder]
    """Folders of document shards or packed shards."""
    ids: bool = False
    """Also check the content: ids within the vocabulary, lengths that add up, increasing boundaries."""
    output: Path | None = None
    """JSON file for the report; null only prints it."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise ValueError("folders=[] names nothing to verify; give at least one folder")
        for folder in self.folders:
            require_local("folders", folder)


@dataclass(frozen=True, kw_only=True)
class IndexShardsConfig:
    """Rebuild a folder's sidecars and shards.json from its tars."""

    folder: ShardsFolder
    """Folder of document shards or packed shards; needs its vocabulary.json."""

    def __post_init__(self) -> None:
        require_local("folder", self.folder)


@dataclass(frozen=True, kw_only=True)
class ExportIndexedDatasetConfig:
    """Export a folder of shards so that megatron-core opens it as `IndexedDataset`s."""

    input: ShardsFolder
    """Folder of document shards or packed shards. Keep it: the export links to its tars."""
    output: Path
    """Folder to create, with <shard>.idx, and <shard>.bin as a link to the tar."""

    def __post_init__(self) -> None:
        require_local("input", self.input)
