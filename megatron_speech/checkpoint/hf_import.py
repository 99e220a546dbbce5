"""A Hugging Face text model becomes a checkpoint whose embedding also has rows for specials and speech.

Old rows stay bit-equal, new rows are drawn from the distribution of the old ones (`model/extension.py`), padding is
zero. The output is an ordinary checkpoint without optimizer state, in every layout's reach: name it in a run as
``model.base``.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from megatron_speech.artifact import MANIFEST, is_made, make_artifact
from megatron_speech.checkpoint.distributed import save_model
from megatron_speech.checkpoint.hf_config import read_model_config
from megatron_speech.checkpoint.hf_mapping import to_megatron
from megatron_speech.checkpoint.whole_model import fill, weights, whole_model
from megatron_speech.config.convert import ConvertFromHfConfig
from megatron_speech.model.extension import extend_embedding
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_INPUT_ROWS, _OUTPUT_ROWS = "model.embed_tokens.weight", "lm_head.weight"


def convert_from_hf(config: ConvertFromHfConfig) -> None:
    """Make the checkpoint folder `config.output`; ValueError or FileNotFoundError where the inputs do not fit."""
    inputs = [*_identity(config.model), config.vocabulary]
    if is_made(config.output, kind="checkpoint", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    model = read_model_config(config.model)
    vocabulary = Vocabulary.load(config.vocabulary)
    _require_same_tokenizer(config.model, config.vocabulary, vocabulary=vocabulary)
    tensors = read_tensors(config.model)
    if not model.untie_embeddings_and_output_weights:
        tensors.pop(_OUTPUT_ROWS, None)  # a second copy of the embedding, in some files
    num_text_rows = tensors[_INPUT_ROWS].shape[0]
    for name, seed in ((_INPUT_ROWS, config.seed), (_OUTPUT_ROWS, config.seed + 1)):
        if name in tensors:
            # Rows beyond the tokenizer's ids are padding of the old model.
            text_rows = tensors[name][: vocabulary.num_text_ids]
            tensors[name] = extend_embedding(text_rows, vocabulary=vocabulary, seed=seed)
    with make_artifact(config.output, kind="checkpoint", config=config, inputs=inputs) as draft:
        saved = draft.folder / "checkpoint"
        shutil.rmtree(saved, ignore_errors=True)  # of an attempt that was stopped
        with whole_model(model, vocabulary=vocabulary, dtype="float32") as chunk:
            fill(chunk, dict(to_megatron(tensors, model=model, names=weights(chunk))))
            draft.facts["parameters"] = sum(tensor.numel() for tensor in weights(chunk).values())
            save_model(saved, [chunk], model=model, vocabulary=vocabulary)
        for path in saved.iterdir():
            path.rename(draft.folder / path.name)
        saved.rmdir()
        draft.facts["text_rows_read"] = num_text_rows
        draft.facts["rows_added"] = vocabulary.size - vocabulary.num_text_ids
        draft.facts["rows_padded"] = vocabulary.padded_size - vocabulary.size
    logger.info("%s: %d new rows for specials and speech", config.output, vocabulary.size - vocabulary.num_text_ids)


def _identity(folder: Path) -> list[Path]:
    """What identifies a model folder: its manifest if a stage here made it, else the contents of its files."""
    if (folder / MANIFEST).is_file():
        return [folder]
    return [path for path in (folder / "config.json", *sorted(folder.glob("*.safetensors"))) if path.is_file()]


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a Hugging Face folder's safetensors, float32; derived buffers of old exports are left out."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.safetensors; save the model with save_pretrained first")
    tensors = {name: tensor.float() for file in files for name, tensor in load_file(file).items()}
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")}


def _require_same_tokenizer(model: Path, folder: Path, *, vocabulary: Vocabulary) -> None:
    """Ids must mean the same to the model and to the vocabulary."""
    extended = TextTokenizer.load(folder)
    end = extended.backend.id_to_token(extended.end_of_document)
    fingerprint = TextTokenizer.load(model, end_of_document=end).fingerprint
    if fingerprint != vocabulary.text_fingerprint:
        raise ValueError(
            f"{folder}: text tokenizer {vocabulary.text_fingerprint[:12]} differs from {fingerprint[:12]} of {model}; "
            "build the vocabulary from this model's tokenizer"
        )
