"""Settings of the evaluation of a Hugging Face model; measures without input files are skipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds, require_device
from megatron_speech.config.parsing.inputs import DocumentsFolder, EvaluatedFolder, VocabularyFolder
from megatron_speech.config.run.evaluation import GeoQaConfig as GeoQaConfig
from megatron_speech.config.run.evaluation import SpokenCorpusConfig as SpokenCorpusConfig
from megatron_speech.config.run.evaluation import require_max_items, require_resamples
from megatron_speech.config.stages.spread import SpreadConfig


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """Held-out token documents, by source."""

    sources: dict[str, DocumentsFolder] = field(default_factory=dict)
    """Folders of document shards, by name of the source."""
    max_documents: int | None = None
    """Use only the first max_documents documents of each source; null uses all."""
    max_tokens: int = 1024
    """Truncate documents to this many tokens."""

    def __post_init__(self) -> None:
        _positive("held_out.max_documents", self.max_documents)
        if self.max_tokens < 2:
            raise ValueError(f"held_out.max_tokens={self.max_tokens} must be at least 2; the training length is usual")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Evaluate one model or many on cloze, geo_qa, held_out and further tasks, as far as they are set."""

    model: EvaluatedFolder | None = None
    """Hugging Face folder of the model (`convert_to_hf`), a checkpoint, or a run folder (its newest checkpoint)."""
    output: Path
    """Folder for evaluation.json and items.jsonl; with models, for a folder of each model and task."""
    cloze: SpokenCorpusConfig | None = None
    """WikiTopicCloze and WikiSameTopicCloze: contexts with one true and two false endings."""
    geo_qa: GeoQaConfig | None = None
    """GeoQA: written and spoken questions about capitals."""
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    """Held-out documents for the loss by modality."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further evaluation tasks by name, each with its own settings."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Number format of the forward pass; log-probabilities are summed in float64. 'auto' is bfloat16 on a GPU and on a
    CPU with AVX512-BF16 or AMX, else float32."""
    device: str = "cpu"
    """Device of the forward pass: cpu, cuda, cuda:<number>, or auto, which is the GPU if there is one."""
    resamples: int = 2000
    """Bootstrap resamples for every 95 % interval."""
    seed: int = 0
    """Seed of the bootstrap."""
    models: list[EvaluatedFolder] = field(default_factory=list)
    """Instead of model: many, one after the other; what is done is skipped. A run folder stands for all checkpoints."""
    vocabulary: VocabularyFolder | None = None
    """Vocabulary folder of the run, for checkpoints; null for exports, which have their own."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How models x tasks are divided over jobs."""

    def __post_init__(self) -> None:
        if (self.model is None) == (not self.models):
            raise ValueError("model is missing: name one model, or a list as models; not both")
        if self.run != SpreadConfig() and not self.models:
            raise ValueError(f"run.part={self.run.part}: one model is scored by one job; give a list as models")
        if self.run.workers != 1:
            raise ValueError(f"run.workers={self.run.workers}: a job scores in one process; give more jobs")
        require_device("device", self.device)
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")
        require_resamples("resamples", self.resamples)
        if self.cloze is None and self.geo_qa is None and not (self.held_out.sources or self.tasks):
            raise ValueError("nothing to measure: name cloze, geo_qa or held_out.sources")
        require_max_items("", cloze=self.cloze, geo_qa=self.geo_qa)


def _positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name}={value} must be at least 1; null takes all")
