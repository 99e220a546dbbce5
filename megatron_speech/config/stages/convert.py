"""Settings of the conversions between Hugging Face folders and training checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ConvertFromHfConfig:
    """A Hugging Face text model to a checkpoint whose vocabulary also holds speech."""

    model: Path
    """Hugging Face folder: config.json and safetensors of a Llama, Qwen2, Qwen3 or GLM-4 decoder."""
    vocabulary: Path
    """Vocabulary folder (tools/build_vocabulary.py) over the same text tokenizer."""
    output: Path
    """Checkpoint folder to make; give it to a run as model.base."""
    seed: int = 0
    """Seed of the new rows of the embedding and of an untied output head."""


@dataclass(frozen=True, kw_only=True)
class ConvertToHfConfig:
    """A checkpoint of any layout to a Hugging Face folder."""

    checkpoint: Path
    """Checkpoint folder, or a run folder (its newest checkpoint is taken)."""
    vocabulary: Path
    """Vocabulary folder of the run: tokenizer files to put beside the weights."""
    output: Path
    """Hugging Face folder to make."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the exported weights."""
    max_shard_gb: float = 5.0
    """Largest safetensors file, in 10**9 bytes; a larger model gets several and an index."""

    def __post_init__(self) -> None:
        if not 0 < self.max_shard_gb <= 1e6:  # true for nan too
            raise ValueError(
                f"max_shard_gb={self.max_shard_gb} must be above 0 and at most 1e6; 5 is transformers' default"
            )
