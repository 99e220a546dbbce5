"""Settings of the commands that look at folders and at the commands themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatron_speech.config.parsing.inputs import AnyFolder


@dataclass(frozen=True, kw_only=True)
class LsConfig:
    """Which folder to list, and how."""

    folder: AnyFolder
    """Folder below which artifacts and run folders are looked for."""
    json: bool = False
    """Print one JSON list instead of a table."""


@dataclass(frozen=True, kw_only=True)
class SchemaConfig:
    """Which command's settings to describe."""

    verb: str
    """Name of the command."""


@dataclass(frozen=True, kw_only=True)
class CompletionConfig:
    """Which shell to complete in."""

    shell: Literal["bash", "zsh"]
    """Shell that reads the script."""
