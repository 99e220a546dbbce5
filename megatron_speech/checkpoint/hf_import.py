"""A Hugging Face model becomes a checkpoint whose embedding also has rows for specials and speech.

Old rows stay bit-equal; those of specials and speech are among them if the model's tokenizer has these tokens at the
vocabulary's ids, as that of an export of ours. New rows are drawn from the distribution of the old ones
(`model/extension.py`), padding is zero. Tensors are held against config.json before any is read, then go from
safetensors to the checkpoint one by one, no model is built. The output is an ordinary float32 checkpoint without
optimizer state, in every layout's reach: name it in a run as ``model.base``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_speech.artifact import MANIFEST, file_xxh3, is_made, make_artifact, read_manifest
from megatron_speech.base_files import GENERATION, base_facts, generation_settings
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.hf_config import model_config_of, read_hf_config
from megatron_speech.checkpoint.hf_mapping import (
    EMBEDDING,
    HF_EMBEDDING,
    HF_OUTPUT,
    OUTPUT,
    Entry,
    entries,
    hugging_face_shapes,
    join,
    megatron_shapes,
    require_shapes,
)
from megatron_speech.checkpoint.hf_weights import HuggingFaceWeights, weight_files
from megatron_speech.checkpoint.weights_writer import FILE, write_weights
from megatron_speech.config.convert import ConvertFromHfConfig
from megatron_speech.config.model import ModelConfig
from megatron_speech.config.parallel import ParallelConfig
from megatron_speech.config.parse import to_dict
from megatron_speech.model.extension import extend_embedding
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary
from megatron_speech.vocabulary_folder import kept_vocabulary

logger = logging.getLogger(__name__)


def convert_from_hf(config: ConvertFromHfConfig) -> None:
    """Make the checkpoint folder `config.output`; ValueError or FileNotFoundError where the inputs do not fit."""
    hf_config = read_hf_config(config.model)
    model = model_config_of(hf_config, holder=str(config.model / "config.json"))
    inputs = [*_identity(config.model), config.vocabulary]
    if is_made(config.output, kind="checkpoint", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    vocabulary = Vocabulary.load(config.vocabulary)
    source = _open_weights(config.model, model, num_rows=hf_config.vocab_size)
    kept = _kept_rows(config.model, config.vocabulary, vocabulary, num_rows=hf_config.vocab_size)
    if generation_settings(config.model) and not (config.vocabulary / GENERATION).is_file():
        logger.warning(
            "%s has no %s: exports will lack those of %s; build the vocabulary with text=%s to keep them",
            *(config.vocabulary, GENERATION, config.model, config.model),
        )
    with make_artifact(config.output, kind="checkpoint", config=config, inputs=inputs) as draft:
        tensors = _megatron_tensors(source, model, vocabulary=vocabulary, kept=kept, seed=config.seed)
        write_weights(draft.folder, tensors, num_layers=model.num_layers)
        layout = {**to_dict(ParallelConfig()), "world_size": 1}
        state = {"step": 0, "layout": layout, "has_optimizer": False}
        folders.write_facts(draft.folder, model=model, vocabulary=vocabulary, state=state)
        folders.write_checksums(draft.folder, folders.checksums(draft.folder / name for name in _FILES))
        shapes = megatron_shapes(model, num_rows=vocabulary.padded_size)
        draft.facts["parameters"] = sum(torch.Size(shape).numel() for shape in shapes.values())
        draft.facts["base"] = base_facts(config.model)
        draft.facts |= _row_facts(vocabulary, kept=kept, num_rows=hf_config.vocab_size)
        facts = dict(draft.facts)
    logger.info(
        "%s: rows of text: %d read; of specials: %d read, %d drawn; of speech: %d read, %d drawn; %d others left out",
        config.output,
        *(facts[name] for name in (*_ROWS, "rows_left_out")),
    )


_FILES = (FILE, ".metadata", "metadata.json", "common.pt", "model.json", "vocabulary.json", "state.json")


_ROWS = ("text_rows_read", "special_rows_read", "special_rows_drawn", "speech_rows_read", "speech_rows_drawn")


def _row_facts(vocabulary: Vocabulary, *, kept: int, num_rows: int) -> dict[str, int]:
    """How many rows of which kind were read from the model's `num_rows`, of which the first `kept` were, and drawn."""
    specials = [vocabulary.special_id(token) for token in vocabulary.special_tokens]
    special_rows, speech_rows = (sum(number < kept for number in ids) for ids in (specials, vocabulary.speech_ids))
    read = kept - special_rows - speech_rows, special_rows, len(specials) - special_rows
    counts = *read, speech_rows, vocabulary.num_speech_ids - speech_rows
    others = {"rows_padded": vocabulary.padded_size - vocabulary.size, "rows_left_out": num_rows - kept}
    return {**dict(zip(_ROWS, counts, strict=True)), **others}


def _identity(folder: Path) -> list[Path]:
    """What identifies a model folder: its manifest if a stage here made it as it is, else the contents of its files."""
    weights = weight_files(folder)
    if (folder / MANIFEST).is_file() and not _changed(weights, read_manifest(folder)["facts"].get("files")):
        return [folder]
    return [folder / "config.json", *weights]


def _changed(weights: list[Path], written: Any) -> bool:
    """Whether files of weights are others than an export wrote: it may have been fine-tuned in its own folder."""
    if not isinstance(written, dict):
        return False
    sums = {path.name: {"bytes": path.stat().st_size, "xxh3": file_xxh3(path)} for path in weights}
    return sums != written


def _open_weights(folder: Path, model: ModelConfig, *, num_rows: int) -> HuggingFaceWeights:
    """The weights in `folder`, every tensor there and shaped as config.json says."""
    source = HuggingFaceWeights(folder)
    _require_layers(source, model.num_layers, folder=folder)
    if not model.untie_embeddings_and_output_weights and HF_OUTPUT in source.shapes:
        # A second copy of the embedding, in some files.
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
    """Refuse another number of layers than the tensors have, before a list is made as long as the claim."""
    found = {match[1] for name in source.shapes if (match := re.match(r"model\.layers\.(\d+)\.", name))}
    if len(found) != claimed:
        raise ValueError(
            f"{folder / 'config.json'}: num_hidden_layers={claimed}, but the tensors there belong to "
            f"{len(found)} layers; make them agree"
        )


def _megatron_tensors(
    source: HuggingFaceWeights, model: ModelConfig, *, vocabulary: Vocabulary, kept: int, seed: int
) -> Iterator[tuple[str, int | None, Tensor]]:
    """Key, layer and float32 tensor of everything in the model, with the embedding (and an untied head) grown."""
    seeds = {EMBEDDING: seed, OUTPUT: seed + 1}

    def tensor_of(entry: Entry) -> Tensor:
        tensor = join([source.read(name) for name in entry.hugging_face], entry, model)
        if entry.megatron not in seeds:
            return tensor.float()
        # Rows beyond the tokenizer's ids are padding of the old model.
        return extend_embedding(tensor[:kept].float(), vocabulary=vocabulary, seed=seeds[entry.megatron])

    for entry in entries(model):
        yield entry.megatron, entry.layer, tensor_of(entry)


def _kept_rows(model: Path, folder: Path, vocabulary: Vocabulary, *, num_rows: int) -> int:
    """How many of the model's first rows mean in the vocabulary `folder` what they mean to the model.

    All rows of the vocabulary where its tokens have the same ids in the model's tokenizer, else those of the text.
    ValueError where ids of text, or tokens of ours, mean another thing to the model.
    """
    extended = TextTokenizer.load(folder)
    ours = extended.backend.get_vocab(with_added_tokens=True)
    # The file itself: a vocabulary.json beside it would hide tokens that were added since.
    path = model / "tokenizer.json"
    end = extended.backend.id_to_token(vocabulary.end_of_document)
    text = TextTokenizer.load(path if path.is_file() else model, end_of_document=end, begin_of_document=[])
    theirs = text.backend.get_vocab(with_added_tokens=True)
    _require_same_codes(model, folder, vocabulary)
    if theirs.items() >= ours.items():
        if beyond := sorted((token for token in theirs if token not in ours), key=theirs.__getitem__):
            logger.warning("%s: the vocabulary lacks %s; their rows are left out", model, ", ".join(beyond))
        kept = vocabulary.size
    else:
        for token, place in vocabulary.token_ids.items():
            if place >= vocabulary.num_text_ids and token in theirs:
                raise ValueError(
                    f"{model}: its tokenizer has {token} at id {theirs[token]}, {folder} at {place} or other text ids; "
                    "build the vocabulary from this model's tokenizer"
                )
        if text.fingerprint != vocabulary.text_fingerprint:
            raise ValueError(
                f"{folder}: text tokenizer {vocabulary.text_fingerprint[:12]} differs from {text.fingerprint[:12]} of "
                f"{model}; build the vocabulary from this model's tokenizer"
            )
        kept = vocabulary.num_text_ids
    if num_rows < kept:
        raise ValueError(
            f"{model}: its tokenizer has {kept} ids, but config.json vocab_size={num_rows} rows; "
            "save the model with as many rows as its tokenizer has ids"
        )
    return kept


def _require_same_codes(model: Path, folder: Path, vocabulary: Vocabulary) -> None:
    """ValueError if the model is an export whose speech ids are codes of another speech tokenizer."""
    kept = kept_vocabulary(model)
    if kept is None or not kept.num_speech_ids:
        return
    theirs, ours = ((each.num_speech_ids, each.speech_fingerprint[:12]) for each in (kept, vocabulary))
    if theirs != ours:
        raise ValueError(
            f"{model} knows {theirs[0]} codes of speech tokenizer {theirs[1] or 'unnamed'}, {folder} has {ours[0]} of "
            f"{ours[1] or 'unnamed'}; build the vocabulary with the model's speech tokenizer, or from its text model"
        )
