"""Settings of the evaluation of a Hugging Face folder by likelihood; what names no files is not measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds


@dataclass(frozen=True, kw_only=True)
class SpokenCorpusConfig:
    """Texts, and the same texts as speech tokens."""

    texts: Path
    """JSONL file of the items."""
    codes: Path
    """Folder of code shards whose meta say which item they speak."""
    max_items: int | None = None
    """Take the first so many items; null takes all."""


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """Held-out token documents by source."""

    sources: dict[str, Path] = field(default_factory=dict)
    """Document shards by the name of the source."""
    max_documents: int | None = None
    """Take the first so many documents of each source; null takes all."""
    max_tokens: int = 1024
    """Documents are cut to so many tokens."""

    def __post_init__(self) -> None:
        _positive("held_out.max_documents", self.max_documents)
        if self.max_tokens < 2:
            raise ValueError(f"held_out.max_tokens={self.max_tokens} must be at least 2; the training length is usual")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """One model, measured."""

    model: Path
    """Hugging Face folder (tools/convert_to_hf.py)."""
    output: Path
    """Folder for evaluation.json and items.jsonl."""
    cloze: SpokenCorpusConfig | None = None
    """WikiTopicCloze and WikiSameTopicCloze: contexts with a true and two false endings."""
    geo_qa: SpokenCorpusConfig | None = None
    """GeoQA: questions on capitals, written and spoken."""
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    """Loss by modality."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Number format of the forward pass; log-probabilities are always summed in float64. auto: bfloat16 on a CPU with
    AVX512-BF16 or AMX, else float32."""
    resamples: int = 2000
    """Bootstrap resamples behind every 95 % interval."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 2000 is usual")
        if self.cloze is None and self.geo_qa is None and not self.held_out.sources:
            raise ValueError("nothing to measure: name cloze, geo_qa or held_out.sources")
        # Checked here, because the section does not know its name, and an optional one is parsed as a union.
        for name, corpus in (("cloze", self.cloze), ("geo_qa", self.geo_qa)):
            _positive(f"{name}.max_items", corpus.max_items if corpus else None)


def _positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name}={value} must be at least 1; null takes all")
