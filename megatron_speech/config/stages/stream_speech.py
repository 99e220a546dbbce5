"""Settings of live encoding of speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import SoundFile, SpeechTokenizerFolder


@dataclass(frozen=True, kw_only=True)
class StreamSpeechConfig:
    """Encode live speech block by block, and print the codes as JSON lines."""

    tokenizer: SpeechTokenizerFolder
    """Folder of a speech tokenizer with block-causal attention."""
    audio: SoundFile | None = None
    """Audio file. Null reads standard input: raw 16-bit little-endian samples, one channel, 16 kHz, as from `arecord -t
    raw -f S16_LE -r 16000`."""
    channels: Literal["first", "loudest", "mix"] = "first"
    """Channel of a file to use. 'first': the first channel that is not silent. 'loudest': the one with the most energy.
    'mix': the mean."""
    chunk_seconds: float = 0.1
    """Largest number of seconds to read at a time; codes do not depend on it."""

    def __post_init__(self) -> None:
        require_bounds("chunk_seconds", self.chunk_seconds, 1e-9, 3600, "0.1 is usual")
