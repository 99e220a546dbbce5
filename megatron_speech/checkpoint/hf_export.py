"""Exports a checkpoint of any layout to a folder that plain transformers or vLLM loads, without custom code.

Tensors are copied from the checkpoint's files to safetensors in blocks of rows. No model is built, and no tensor is in
memory as a whole. Padding rows are cut, so every row of the embedding is an id of the extended tokenizer in the same
folder. Optimizer state is not read; everything that is read is checked against its checksum.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from megatron_speech.artifacts.facts.checkpoint import ExportFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.families.table import family_of
from megatron_speech.checkpoint.hf_config import write_model_config
from megatron_speech.checkpoint.hf_mapping import (
    entries,
    hugging_face_shapes,
    megatron_shapes,
    require_shapes,
    row_ranges,
)
from megatron_speech.checkpoint.hf_weights import require_finite
from megatron_speech.checkpoint.model_card import model_card, tokenizer_facts
from megatron_speech.checkpoint.safetensors_writer import write_safetensors
from megatron_speech.checkpoint.weights import StoredTensor, WeightsReader
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.stages.convert import ConvertToHfConfig
from megatron_speech.progress import follow
from megatron_speech.text_tokenizer.base_files import CARD, copy_files, generation_settings
from megatron_speech.text_tokenizer.vocabulary_files import require_whole
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocabulary.json")


def convert_to_hf(config: ConvertToHfConfig) -> None:
    """Make the Hugging Face folder `config.output`; ValueError or FileNotFoundError names what does not fit."""
    # Stop if the export is done already.
    checkpoint = find_checkpoint(config.checkpoint)
    inputs = [checkpoint / folders.CHECKSUMS, config.vocabulary]
    if is_made(config.output, kind="hugging_face", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return

    # Check that checkpoint and vocabulary fit, before anything is written.
    model = folders.read_model_config(checkpoint)
    vocabulary = Vocabulary.load(config.vocabulary)
    vocabulary.require(folders.read_vocabulary(checkpoint).fingerprint, holder=str(checkpoint))
    folders.verify_facts(checkpoint)
    reader = WeightsReader(checkpoint)
    stored = megatron_shapes(model, num_rows=vocabulary.padded_size)
    require_shapes(reader.shapes, stored, holder=str(checkpoint), config="model.json")
    shapes = hugging_face_shapes(model, num_rows=vocabulary.size)
    facts = ExportFacts(
        checkpoint=str(checkpoint),
        step=folders.read_state(checkpoint).step,
        family=family_of(model).model_type,
        parameters=sum(torch.Size(shape).numel() for shape in shapes.values()),
        vocabulary=vocabulary.fingerprint,
        **vars(tokenizer_facts(config.vocabulary)),
        files={},
    )
    require_whole(config.vocabulary)
    card = model_card(config.output.name, facts=facts, vocabulary=vocabulary, checkpoint=checkpoint)

    # Write the folder. The weights come last: errors in small files show before hours of writing.
    with make_artifact(config.output, kind="hugging_face", config=config, inputs=inputs) as draft:
        generation = generation_settings(config.vocabulary)
        write_model_config(draft.folder, model, vocabulary=vocabulary, dtype=config.dtype, generation=generation)
        for name in _TOKENIZER_FILES:
            if (config.vocabulary / name).is_file():
                shutil.copyfile(config.vocabulary / name, draft.folder / name)
        copy_files(config.vocabulary, draft.folder)
        write_atomic(draft.folder / CARD, card)
        tensors = _hugging_face_tensors(reader, model, vocabulary=vocabulary, holder=checkpoint)
        files = write_safetensors(
            draft.folder,
            follow(tensors, f"convert_to_hf {checkpoint.name}", unit="tensors", total=len(shapes)),
            shapes=shapes,
            dtype=getattr(torch, config.dtype),
            max_bytes=int(config.max_shard_gb * 1e9),
        )
        draft.facts = replace(facts, files=files)
    logger.info("%s: exported %s", config.output, checkpoint)


def find_checkpoint(path: Path) -> Path:
    """`path` itself if it is a checkpoint, else the newest one of the run folder `path`."""
    if folders.is_checkpoint(path):
        return path
    newest = folders.latest_checkpoint(path / "checkpoints")
    if newest is None:
        raise FileNotFoundError(
            f"checkpoint={path} is neither a checkpoint nor a run folder that has one; check the path"
        )
    return newest


def _hugging_face_tensors(
    reader: WeightsReader, model: ModelConfig, *, vocabulary: Vocabulary, holder: Path
) -> Iterator[tuple[str, _FiniteRows, list[tuple[int, int]]]]:
    """(name, where to read, row ranges) of every Hugging Face tensor; a thread checks the next one meanwhile."""
    table = entries(model)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(reader.open, table[0].megatron, table[0].layer)
        for entry, following in zip(table, [*table[1:], None], strict=True):
            tensor = coming.result()
            if following is not None:
                coming = thread.submit(reader.open, following.megatron, following.layer)
            for name, ranges in zip(
                entry.hugging_face, row_ranges(entry, model, num_rows=vocabulary.size), strict=True
            ):
                yield name, _FiniteRows(tensor, f"{holder}: tensor {name}"), ranges


@dataclass(frozen=True)
class _FiniteRows:
    """Reads rows of a stored tensor; nan or inf in them raises a ValueError that begins with `name`."""

    stored: StoredTensor
    name: str

    @property
    def dtype(self) -> torch.dtype:
        return self.stored.dtype

    def read(self, first: int, end: int, out: Tensor) -> None:
        """Read rows `first` to `end` (exclusive) into `out`."""
        self.stored.read(first, end, out)
        require_finite(out, name=self.name, remedy="the training diverged; export an earlier checkpoint")
