"""Facts of audio shards, imported or spoken (kind ``audio``)."""

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
    """Their duration together, to two decimals."""
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
    """Their duration together, to four decimals."""
    sample_rate: int
    """Samples per second."""
    shards: tuple[AudioShardFacts, ...]
    """Shards in the order of reading."""
    quarantined: dict[str, int] | None = None
    """Utterances left out, by reason; of imported audio."""
    utterances_of_several_channels: int | None = None
    """Utterances recorded with several channels; of imported audio."""
    utterances_of_channels_by_setting: int | None = None
    """Among these, utterances with a channel chosen by the setting `channels`."""
    utterances_of_silent_first_channel: int | None = None
    """Among these, utterances with a silent first channel, for which another was taken."""
    voices_left_out: tuple[str, ...] | None = None
    """Voices that were asked for and not installed; of spoken audio."""
