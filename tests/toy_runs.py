"""Tiny packed sources and run configurations: 10k parameters, rows of 32 tokens, milliseconds per step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint import folder as folders
from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.config.run.training import (
    CheckpointConfig,
    LoggingConfig,
    OptimizerConfig,
    PretrainConfig,
    TrainConfig,
)
from megatron_speech.config.stages.pack_shards import PackShardsConfig
from megatron_speech.data.packing.pack import pack_shards
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text_ids=60, num_speech_ids=60, padding_multiple=32)
MODEL = ModelConfig(num_layers=2, hidden_size=32, ffn_hidden_size=48, num_attention_heads=4, num_query_groups=2)
SEQ_LENGTH = 32


def make_sources(folder: Path, *, documents: int = 60, vocabulary: Vocabulary = VOCABULARY) -> dict[str, SourceConfig]:
    """Packed sources `text` (text ids) and `paired` (text context, speech target, trained on the target only)."""
    for name, sample in (("text", _text), ("paired", _paired)):
        written = folder / "documents" / name
        write_documents(written, sample(documents, vocabulary), vocabulary=vocabulary, name=name)
        (written / "manifest.json").write_text('{"kind": "documents", "facts": {}}')  # as a tool writes it
        pack_shards(PackShardsConfig(input=written, output=folder / "packed" / name, seq_length=SEQ_LENGTH))
    return {
        "text": SourceConfig(folder=folder / "packed" / "text", task="text"),
        "paired": SourceConfig(folder=folder / "packed" / "paired", task="synthesis"),
    }


def make_config(folder: Path, sources: dict[str, SourceConfig], *, steps: int = 8, **sections: Any) -> PretrainConfig:
    """A run of `steps` steps of 4 rows in `folder`; `sections` replace whole sections of the configuration."""
    train = {"tokens": steps * 4 * SEQ_LENGTH, "global_batch_size": 4, **sections.pop("train", {})}
    values: dict[str, Any] = {
        "model": MODEL,
        "data": DataConfig(seq_length=SEQ_LENGTH, sources=sources, validation={"text": sources["text"]}),
        "optimizer": OptimizerConfig(lr=1e-2, min_lr=1e-3),
        "checkpoint": CheckpointConfig(every_steps=3),
        "logging": LoggingConfig(validation_rows=4),
        "precision": PrecisionConfig(dtype="bfloat16"),  # the same on every machine
        **sections,
    }
    return PretrainConfig(folder=folder, train=TrainConfig(**train), **values)


def make_base(folder: Path, model: ModelConfig) -> str:
    """The path of a checkpoint with the shape of `model` and placeholder weights."""
    folder.mkdir()
    folders.write_facts(folder, model=model, vocabulary=VOCABULARY, state=CheckpointState(step=0))
    (folder / "weights").write_bytes(b"weights")
    folders.write_checksums(folder, folders.checksums(sorted(folder.iterdir())))
    return str(folder)


def _text(documents: int, vocabulary: Vocabulary) -> Iterator[TokenDocument]:
    generator = np.random.default_rng(1)
    for index in range(documents):
        yield TokenDocument(key=f"t{index}", tokens=generator.integers(1, 60, 20).astype(np.int32))


def _paired(documents: int, vocabulary: Vocabulary) -> Iterator[TokenDocument]:
    generator, speech_ids = np.random.default_rng(2), vocabulary.speech_ids
    for index in range(documents):
        text, speech = generator.integers(1, 60, 6), generator.integers(speech_ids.start, speech_ids.stop, 12)
        tokens = np.concatenate([text, speech]).astype(np.int32)
        yield TokenDocument(key=f"p{index}", tokens=tokens, target_start=6)


def resuming(config: PretrainConfig) -> PretrainConfig:
    """The same run, which must resume from a checkpoint."""
    return dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, resume="required"))


def read_history(config: PretrainConfig) -> list[dict[str, Any]]:
    """Records of metrics.jsonl without measured times; asserts that steps are 1, 2, 3, ..."""
    records = [json.loads(line) for line in (config.folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(1, len(records) + 1))
    clocks = {"tokens_per_s", "reading"}
    return [{name: value for name, value in record.items() if name not in clocks} for record in records]


def check_trains(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    """Body of a rank: runs the whole training."""
    from megatron_speech.training.run import pretrain

    pretrain(config, world=(rank, world_size), init_method=init_method)
