"""Imports a Hugging Face model as a checkpoint, with new embedding rows for special and speech tokens.

Old rows stay bit-equal. If the model's tokenizer has the special and speech tokens at the vocabulary's ids, as our
exports do, their rows are kept too (`checkpoint/kept_rows.py`). New rows are drawn from the distribution of the old
ones (`checkpoint/extension.py`); padding is zero.

All names and shapes are checked against config.json before any tensor is read. Tensors are copied one by one; no model
is built. The output is a float32 checkpoint without optimizer state, which any layout loads: use it as ``model.base``.
``model.yaml`` beside it shows the shape to people. No checksum and no identity covers this file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_speech.artifacts.facts.checkpoint import CheckpointState, ExportFacts, ImportFacts
from megatron_speech.artifacts.files import file_xxh3, write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, is_made, make_artifact, read_facts, read_manifest
from megatron_speech.artifacts.plain_json import first_difference
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.base_shape import SHAPE_FILE, shape_file
from megatron_speech.checkpoint.extension import extend_embedding
from megatron_speech.checkpoint.families.family import Entry
from megatron_speech.checkpoint.hf_config import model_config_of, read_hf_config
from megatron_speech.checkpoint.hf_mapping import (
    EMBEDDING,
    HF_EMBEDDING,
    HF_OUTPUT,
    OUTPUT,
    entries,
    hugging_face_shapes,
    join,
    megatron_shapes,
    require_shapes,
)
from megatron_speech.checkpoint.hf_weights import HuggingFaceWeights, weight_files
from megatron_speech.checkpoint.kept_rows import ROWS, kept_rows, row_facts
from megatron_speech.checkpoint.weights_writer import FILE, write_weights
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig
from megatron_speech.progress import follow
from megatron_speech.text_tokenizer.base_files import (
    CARD,
    GENERATION,
    base_facts,
    generation_settings,
    special_ids,
    tokenizer_files,
)
from megatron_speech.text_tokenizer.vocabulary_files import require_whole
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def convert_from_hf(config: ConvertFromHfConfig) -> None:
    """Make the checkpoint folder `config.output`; ValueError or FileNotFoundError if the inputs do not fit."""
    # Stop if the import is done already.
    hf_config = read_hf_config(config.model)
    model = model_config_of(hf_config, holder=str(config.model / "config.json"))
    inputs = [*_inputs(config.model), config.vocabulary]
    if is_made(config.output, kind="checkpoint", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return

    # Check that weights, config.json and vocabulary fit, before anything is written.
    vocabulary = Vocabulary.load(config.vocabulary)
    require_whole(config.vocabulary)
    source = _open_weights(config.model, model, num_rows=hf_config.vocab_size)
    kept = kept_rows(
        *(config.model, config.vocabulary, vocabulary),
        num_rows=hf_config.vocab_size,
        embedding=lambda: source.read(HF_EMBEDDING),
    )
    _tell_changed(config.model)
    _tell_generation(config.model, config.vocabulary, vocabulary)
    # Write weights, facts and checksums.
    with make_artifact(config.output, kind="checkpoint", config=config, inputs=inputs) as draft:
        tensors = _megatron_tensors(source, model, vocabulary=vocabulary, kept=kept, seed=config.seed)
        shown = follow(tensors, f"convert_from_hf {config.model.name}", unit="tensors", total=len(entries(model)))
        write_weights(draft.folder, shown, num_layers=model.num_layers)
        layout = {**to_dict(ParallelConfig()), "world_size": 1}
        state = CheckpointState(step=0, layout=layout, has_optimizer=False)
        folders.write_facts(draft.folder, model=model, vocabulary=vocabulary, state=state)
        folders.write_checksums(draft.folder, folders.checksums(draft.folder / name for name in _FILES))
        write_atomic(draft.folder / SHAPE_FILE, shape_file(model))
        shapes = megatron_shapes(model, num_rows=vocabulary.padded_size)
        facts = draft.facts = ImportFacts(
            parameters=sum(torch.Size(shape).numel() for shape in shapes.values()),
            base=base_facts(config.model),
            **row_facts(vocabulary, kept=kept, num_rows=hf_config.vocab_size),
        )
    logger.info(
        "%s: rows of text: %d read; of specials: %d read, %d drawn; of speech: %d read, %d drawn; %d others left out",
        config.output,
        *(getattr(facts, name) for name in (*ROWS, "rows_left_out")),
    )


def _tell_changed(folder: Path) -> None:
    """Warn about weights of an export that are not as they were exported."""
    if not (folder / MANIFEST).is_file() or read_manifest(folder).kind != "hugging_face":
        return
    files = read_facts(folder, ExportFacts).files
    changed = [name for name in files if (folder / name).is_file() and file_xxh3(folder / name) != files[name].xxh3]
    if changed:
        logger.warning(
            "%s: %s changed since the export: trained on since, or damaged; imported as it is",
            *(folder, ", ".join(changed)),
        )


def _tell_generation(model: Path, folder: Path, vocabulary: Vocabulary) -> None:
    """Warn if exports will have other generation settings than the model, since they take those of `folder`."""
    theirs, ours = generation_settings(model), _generation(generation_settings(folder), vocabulary)
    if theirs and not (folder / GENERATION).is_file():
        logger.warning(
            "%s has no %s: exports will lack the generation settings of %s; build the vocabulary with text=%s to keep "
            "them",
            *(folder, GENERATION, model, model),
        )
        return
    try:
        wanted = _generation(theirs, vocabulary)
        difference = first_difference(wanted, ours) if wanted != ours else ""
    except ValueError as error:  # an id of a token that the vocabulary lacks, or a damaged one
        difference = str(error)
    if difference:
        logger.warning("%s: exports will have the generation settings of %s: %s", model, folder, difference)


def _generation(settings: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Generation settings as an export would have them, without notes of the program that wrote them."""
    kept = {key: value for key, value in settings.items() if key[:1] != "_" and key != "transformers_version"}
    return {**kept, **special_ids(settings, vocabulary)}


_FILES = (FILE, ".metadata", "metadata.json", "common.pt", "model.json", "vocabulary.json", "state.json")


def _inputs(folder: Path) -> list[Path]:
    """Files that the result depends on: weights, tokenizer, settings, model card, and a manifest if there is one.

    The manifest alone is not enough: the folder's files may have changed since it was written.
    """
    files = [*weight_files(folder), *tokenizer_files(folder)]
    files += [folder / CARD] if (folder / CARD).is_file() else []
    return [folder, *files] if (folder / MANIFEST).is_file() else files


def _open_weights(folder: Path, model: ModelConfig, *, num_rows: int) -> HuggingFaceWeights:
    """Open the weights in `folder`; ValueError unless all tensors are there with the shapes of config.json."""
    source = HuggingFaceWeights(folder)
    _require_layers(source, model.num_layers, folder=folder)
    if not model.untie_embeddings_and_output_weights and HF_OUTPUT in source.shapes:
        # Some files also hold a copy of the tied embedding.
        if HF_EMBEDDING not in source.shapes:
            raise ValueError(
                f"{folder} lacks tensor {HF_EMBEDDING} and has {HF_OUTPUT}, which tie_word_embeddings=true in "
                "config.json makes its copy; save the model with save_pretrained"
            )
        if not torch.equal(source.read(HF_OUTPUT), source.read(HF_EMBEDDING)):
            raise ValueError(
                f"{folder}: tie_word_embeddings=true in config.json, but {HF_OUTPUT} differs from {HF_EMBEDDING}; "
                "set it to false"
            )
        source.drop(HF_OUTPUT)
    require_shapes(
        source.shapes, hugging_face_shapes(model, num_rows=num_rows), holder=str(folder), config="config.json"
    )
    return source


def _require_layers(source: HuggingFaceWeights, claimed: int, *, folder: Path) -> None:
    """Raise ValueError unless the tensors have `claimed` layers; a huge claim must not become a huge list."""
    found = {match[1] for name in source.shapes if (match := re.match(r"model\.layers\.(\d+)\.", name))}
    if len(found) != claimed:
        raise ValueError(
            f"{folder / 'config.json'}: num_hidden_layers={claimed}, but the tensors there belong to "
            f"{len(found)} layers; make them agree"
        )


def _megatron_tensors(
    source: HuggingFaceWeights, model: ModelConfig, *, vocabulary: Vocabulary, kept: int, seed: int
) -> Iterator[tuple[str, int | None, Tensor]]:
    """(key, layer, float32 tensor) of the whole model; embedding and untied head have their new rows."""
    seeds = {EMBEDDING: seed, OUTPUT: seed + 1}

    def tensor_of(entry: Entry) -> Tensor:
        tensor = join([source.read(name) for name in entry.hugging_face], entry, model)
        if entry.megatron not in seeds:
            return tensor.float()
        # Rows behind the first `kept` are padding, or tokens that the vocabulary lacks.
        return extend_embedding(tensor[:kept].float(), vocabulary=vocabulary, seed=seeds[entry.megatron])

    for entry in entries(model):
        yield entry.megatron, entry.layer, tensor_of(entry)
