"""Facts of tokenized speech (kinds ``speech_codes``, ``speech_codes_task``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.tokens import DocumentsFacts


@dataclass(frozen=True, kw_only=True)
class CodesTaskFacts(Record):
    """Counts of one offline task of tokenizing speech."""

    utterances: int
    """Utterances read, those in quarantine too."""
    documents: int
    """Utterances encoded."""
    tokens: int
    """Codes written."""
    samples: int
    """Waveform samples encoded."""
    cut: int
    """Utterances encoded in several windows."""
    several_channels: int
    """Utterances with several channels; one channel was encoded."""
    without_text: int
    """Utterances without a transcript."""


@dataclass(frozen=True, kw_only=True)
class SourceShardFacts(Record):
    """An audio shard that codes were made from."""

    name: str
    """File name."""
    xxh3: str
    """xxh3_128 of the file."""
    utterances: int
    """Utterances in it."""
    quarantined: int
    """Utterances left out."""


@dataclass(frozen=True, kw_only=True)
class UsageFacts(Record):
    """Usage of a codebook."""

    seconds: float
    """Duration that the codes stand for, to two decimals."""
    frame_rate: float
    """Codes per second."""
    codebook_size: int
    """Number of codes (K)."""
    codes_used: int
    """Number of different codes that occur."""
    perplexity: float
    """Perplexity of the code distribution: exp of its entropy, to one decimal."""
    code_counts: tuple[int, ...]
    """How often each code occurs: int [K]."""


@dataclass(frozen=True, kw_only=True)
class CodesFacts(UsageFacts, DocumentsFacts):
    """A folder of documents of speech codes (kind ``speech_codes``)."""

    utterances: int
    """Utterances read, those in quarantine too."""
    quarantined: dict[str, int]
    """Utterances left out, by reason."""
    utterances_cut: int
    """Utterances encoded in several windows."""
    utterances_of_several_channels: int
    """Utterances with several channels; one channel was encoded."""
    utterances_without_text: int
    """Utterances without a transcript, which are kept."""
    audio_shards: tuple[SourceShardFacts, ...]
    """The audio shards, in order."""


@dataclass(frozen=True, kw_only=True)
class SpeechCodes(Record):
    """Codes of one recording, as `encode` writes them and `decode` reads them."""

    codes: tuple[int, ...]
    """Codes from 0, in order."""
    frame_rate: float
    """Codes per second."""
    codebook_size: int
    """Number of codes of the speech tokenizer."""
    speech_fingerprint: str
    """Fingerprint of the speech tokenizer that made them."""
