"""Settings of the speech tokenizer's report, and of the table that compares several tokenizers."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import (
    AudioFolder,
    MarkdownFile,
    OptionalWhisperFolder,
    SpeechTokenizerFolder,
    WhisperFolder,
)


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig:
    """Disturbances of held-out speech, to measure which codes change and which words are lost."""

    gains_db: list[float] = field(default_factory=lambda: [-20.0, -10.0, 6.0])
    """Gains in dB; samples beyond [-1, 1] are clipped."""
    snrs_db: list[float] = field(default_factory=lambda: [20.0, 10.0, 5.0])
    """Signal-to-noise ratios in dB over the whole clip, for white noise and for babble (other clips of the same
    data)."""
    babble_clips: int = 4
    """Number of clips mixed into babble; fewer if the data has fewer others."""
    rates: list[int] = field(default_factory=lambda: [8000, 48000])
    """Sample rates in Hz to resample to and back from."""
    max_utterances: int = 48
    """Largest number of utterances per folder, from the first that the report reads."""
    seed: int = 0
    """Seed of the noise and of the choice of babble."""

    def __post_init__(self) -> None:
        for name in ("babble_clips", "max_utterances"):
            if getattr(self, name) < 1:
                raise ValueError(f"robustness.{name}={getattr(self, name)} must be at least 1; use a positive number")
        if not (self.gains_db or self.snrs_db or self.rates):
            raise ValueError("robustness: gains_db, snrs_db and rates are all empty; use robustness=null for none")
        if any(rate < 1000 for rate in self.rates):
            raise ValueError(f"robustness.rates={self.rates} must be at least 1000 Hz each; 8000 is a telephone's")
        for name, values, most in (
            ("gains_db", self.gains_db, 200),
            ("snrs_db", self.snrs_db, 200),
            ("rates", self.rates, 10**6),
        ):
            for index, value in enumerate(values):
                require_bounds(f"robustness.{name}[{index}]", value, -most, most, "correct it")
        require_bounds("robustness.seed", self.seed, 0, MAX_SEED, "0 is the default")


@dataclass(frozen=True, kw_only=True)
class TokenizerReportConfig:
    """Measure word error rates with and without the bottleneck, codebook usage, and robustness of the codes."""

    tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer."""
    whisper: WhisperFolder | None = None
    """Hugging Face folder of the Whisper model that the tokenizer started from; it gives the error rate without the
    bottleneck. Null skips it."""
    judge: OptionalWhisperFolder | None = None
    """Hugging Face folder of an independent Whisper model. A missing folder is skipped with a note; null skips it."""
    audio: dict[str, AudioFolder]
    """Folders of held-out audio shards, by name. A folder without utterances is skipped with a note."""
    output: Path
    """Folder for report.md, its plots, the manifest and the transcript of every utterance."""
    max_utterances: int = 200
    """Largest number of utterances per folder, from the start of the shards."""
    robustness: RobustnessConfig | None = field(default_factory=RobustnessConfig)
    """Disturbances to measure; null for none. Cost: each takes about as long as transcribing the codes once."""
    resamples: int = 2000
    """Bootstrap resamples over utterances for every 95 % interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if not self.audio:
            raise ValueError("audio={} must name at least one folder of audio shards, as heldout: audio/heldout")
        if self.max_utterances < 1:
            raise ValueError(f"max_utterances={self.max_utterances} must be at least 1; use a positive number")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 2000 is usual")
        require_bounds("resamples", self.resamples, 100, 10**6, "2000 is usual")
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")


@dataclass(frozen=True, kw_only=True)
class TokenizerExperimentsConfig:
    """Compare speech tokenizers that differ in one or two settings."""

    rows: dict[str, str]
    """Experiments in the order of the table: a name, and the options of `train_speech_tokenizer` beyond the
    common ones. Folders that are not named here follow in alphabetical order."""
    folder: Path = Path("experiments")
    """Folder with <row>/tokenizer and <row>/report for every row; `report.md` and `wer.png` are written into it."""
    baseline: str = "base"
    """Row that the others are compared with."""
    audio: list[str] = field(default_factory=lambda: ["seen", "unseen", "human"])
    """Data sets of the reports to show, the most important first."""
    reading: MarkdownFile | None = None
    """Markdown file with a person's interpretation of the table, placed above it."""
    resamples: int = 2000
    """Bootstrap resamples over utterances for every 95 % interval."""

    def __post_init__(self) -> None:
        for name, words in self.rows.items():
            try:
                pairs(words)
            except ValueError as error:
                raise ValueError(f"rows.{name}={words!r} {error}, as on the command line; correct it") from error
        require_bounds("resamples", self.resamples, 100, 10**6, "2000 is usual")
        if not self.audio:
            raise ValueError("audio=[] must name at least one data set of the reports, as seen")


def pairs(words: str) -> list[tuple[str, str]]:
    """Split options into (key without dashes, value) pairs; ValueError unless all are --key value or --key=value."""
    given: list[tuple[str, str]] = []
    rest = iter(shlex.split(words))
    for word in rest:
        key, equals, value = word.partition("=")
        if not key.startswith("--") or (not equals and (value := next(rest, "--")).startswith("--")):
            raise ValueError("must be pairs of --key value")
        given.append((key.removeprefix("--"), value))
    return given
