"""Settings of the tool that writes lines as they would be read aloud."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.config.stages.text_to_token import Language


@dataclass(frozen=True, kw_only=True)
class ReadAloudConfig:
    """Write the lines of standard input as they would be read aloud."""

    language: Language = "en"
    """Language of the lines; decides sentence ends, scripts, and how numbers and signs are read
    (speakable.language)."""
