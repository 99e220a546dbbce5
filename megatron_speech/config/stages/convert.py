"""Settings of the conversions between Hugging Face folders and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.inputs import CheckpointFolder, TextModelFolder, VocabularyFolder


@dataclass(frozen=True, kw_only=True)
class ConvertFromHfConfig:
    """Convert a Hugging Face text model to a checkpoint with a vocabulary extended by speech."""

    model: TextModelFolder
    """Hugging Face folder with config.json and safetensors of a Llama, Qwen2, Qwen3 or GLM-4 decoder."""
    vocabulary: VocabularyFolder
    """Vocabulary folder (`build_vocabulary`) with the same text tokenizer."""
    output: Path
    """Checkpoint folder to create; a run starts from it by model.base."""
    seed: int = 0
    """Seed of the new rows of the embedding and of an untied output head."""


@dataclass(frozen=True, kw_only=True)
class ConvertToHfConfig:
    """Convert a checkpoint of any parallel layout to a Hugging Face folder."""

    checkpoint: CheckpointFolder
    """Checkpoint folder, or a run folder (its newest checkpoint is used)."""
    vocabulary: VocabularyFolder
    """Vocabulary folder of the run; its tokenizer files are exported with the weights."""
    output: Path
    """Hugging Face folder to create."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the exported weights."""
    max_shard_gb: float = 5.0
    """Largest size of a safetensors file, in 10**9 bytes; a larger model is split into several files with an index."""

    def __post_init__(self) -> None:
        if not 0 < self.max_shard_gb <= 1e6:  # true for nan too
            raise ValueError(
                f"max_shard_gb={self.max_shard_gb} must be above 0 and at most 1e6; 5 is transformers' default"
            )
