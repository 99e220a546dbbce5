"""Settings of evaluation tasks that a model is asked by likelihood, after a training or during it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import CodesFolder, ItemsFile, VocabularyFolder

LEAST_RESAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class SpokenCorpusConfig:
    """Items as text, and the same items as speech tokens."""

    texts: ItemsFile
    """JSONL file of the items."""
    codes: CodesFolder
    """Folder of code shards; the metadata of each utterance names its item."""
    max_items: int | None = None
    """Use only the first max_items items; null uses all."""


@dataclass(frozen=True, kw_only=True)
class GeoQaConfig(SpokenCorpusConfig):
    """Questions as text and as speech tokens."""

    answers: CodesFolder | None = None
    """Folder of code shards with the candidates, named by `answer` in the metadata of each utterance. With it,
    answers are scored as speech, too."""


@dataclass(frozen=True, kw_only=True)
class TrainingEvaluationConfig:
    """Evaluation tasks by likelihood that a model is asked at every validation of its training."""

    vocabulary: VocabularyFolder
    """Vocabulary folder of the run; its tokenizer encodes the items."""
    cloze: SpokenCorpusConfig | None = None
    """WikiTopicCloze and WikiSameTopicCloze, as `evaluate` asks them."""
    geo_qa: GeoQaConfig | None = None
    """GeoQA, as `evaluate` asks it."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further evaluation tasks by name, each with its own settings, such as choices."""
    resamples: int = 2000
    """Bootstrap resamples for every 95 % interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        require_bounds("evaluation.seed", self.seed, 0, MAX_SEED, "0 is the default")
        require_resamples("evaluation.resamples", self.resamples)
        if self.cloze is None and self.geo_qa is None and not self.tasks:
            raise ValueError("evaluation: nothing to ask; name cloze, geo_qa or tasks, or leave the section out")
        require_max_items("evaluation.", cloze=self.cloze, geo_qa=self.geo_qa)

    @property
    def held_out(self) -> None:
        """None: a training has `data.validation` for the loss on held-out documents."""
        return None


def require_resamples(key: str, value: int) -> None:
    """Raise ValueError if there are too few resamples for an interval."""
    if value < LEAST_RESAMPLES:
        raise ValueError(f"{key}={value} must be at least {LEAST_RESAMPLES} for a 95 % interval; 2000 is usual")


def require_max_items(prefix: str, **sections: SpokenCorpusConfig | None) -> None:
    """Raise ValueError if a section takes no item; sections share a class and do not know their own names."""
    for name, corpus in sections.items():
        if corpus is not None and corpus.max_items is not None and corpus.max_items < 1:
            raise ValueError(f"{prefix}{name}.max_items={corpus.max_items} must be at least 1; null takes all")
