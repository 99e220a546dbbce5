"""Facts of audio shards, from recordings or from voices (kind ``audio``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class AudioShardFacts(Record):
    """One shard of utterances."""

    name: str
    """File name."""
    utterances: int
    """Utterances in it."""
    seconds: float
    """Total duration, to two decimals."""
    bytes: int
    """Size of the file."""
    xxh3: str
    """xxh3_128 of the file."""


@dataclass(frozen=True, kw_only=True)
class AudioFacts(Record):
    """A folder of audio shards."""

    utterances: int
    """Utterances in all shards."""
    hours: float
    """Total duration, to four decimals."""
    sample_rate: int
    """Samples per second."""
    shards: tuple[AudioShardFacts, ...]
    """Shards in the order of reading."""
    quarantined: dict[str, int] | None = None
    """Imported audio: utterances left out, by reason."""
    utterances_of_several_channels: int | None = None
    """Imported audio: utterances with several channels."""
    utterances_of_channels_by_setting: int | None = None
    """Imported audio: utterances with a channel chosen by the setting `channels`."""
    utterances_of_silent_first_channel: int | None = None
    """Imported audio: utterances with a silent first channel, so that another was taken."""
    voices_left_out: tuple[str, ...] | None = None
    """Synthetic audio: voices asked for but not installed."""
