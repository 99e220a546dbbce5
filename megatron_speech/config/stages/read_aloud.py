"""Settings of reading lines aloud on paper."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.config.stages.text_to_token import Language


@dataclass(frozen=True, kw_only=True)
class ReadAloudConfig:
    """How the lines on standard input are read."""

    language: Language = "en"
    """Language of the lines: its stops, its scripts, and how numbers and signs are read; as speakable.language."""
