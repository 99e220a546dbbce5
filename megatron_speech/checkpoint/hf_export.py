"""A checkpoint of any layout becomes a folder that plain transformers (or vLLM) loads: standard class, no remote code.

Padding rows are cut, so that every row of the embedding is an id of the extended tokenizer that lies beside the
weights.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor

from megatron_speech.artifact import fingerprint_files, is_made, make_artifact
from megatron_speech.checkpoint import folder as folders
from megatron_speech.checkpoint.distributed import load_model
from megatron_speech.checkpoint.hf_config import write_model_config
from megatron_speech.checkpoint.hf_mapping import EMBEDDING, OUTPUT, family_of, to_hugging_face
from megatron_speech.checkpoint.whole_model import weights, whole_model
from megatron_speech.config.convert import ConvertToHfConfig
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

# What a vocabulary folder may hold besides its manifest.
_TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "chat_template.jinja", "*.model", "vocabulary.json")


def convert_to_hf(config: ConvertToHfConfig) -> None:
    """Make the Hugging Face folder `config.output`; ValueError or FileNotFoundError names what does not fit."""
    checkpoint = find_checkpoint(config.checkpoint)
    inputs = [checkpoint / folders.CHECKSUMS, config.vocabulary]
    if is_made(config.output, kind="hugging_face", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    model = folders.read_model_config(checkpoint)
    vocabulary = Vocabulary.load(config.vocabulary)
    vocabulary.require(Vocabulary.load(checkpoint).fingerprint, holder=str(checkpoint))
    with make_artifact(config.output, kind="hugging_face", config=config, inputs=inputs) as draft:
        with whole_model(model, vocabulary=vocabulary, dtype=config.dtype) as chunk:
            load_model(checkpoint, [chunk], model=model, vocabulary=vocabulary)
            exported = dict(to_hugging_face(unpadded(weights(chunk), vocabulary=vocabulary), model=model))
            _save_weights(
                exported, draft.folder, dtype=getattr(torch, config.dtype), max_bytes=int(config.max_shard_gb * 1e9)
            )
        write_model_config(draft.folder, model, vocabulary=vocabulary, dtype=config.dtype)
        for pattern in _TOKENIZER_FILES:
            for path in config.vocabulary.glob(pattern):
                shutil.copyfile(path, draft.folder / path.name)
        draft.facts["checkpoint"] = checkpoint
        draft.facts["step"] = folders.read_state(checkpoint).get("step")
        draft.facts["family"] = family_of(model)
        draft.facts["parameters"] = sum(tensor.numel() for tensor in exported.values())
        draft.facts["vocabulary"] = vocabulary.fingerprint
        draft.facts["weights"] = fingerprint_files(list(draft.folder.glob("*.safetensors")))
    logger.info("%s: exported %s", config.output, checkpoint)


def find_checkpoint(path: Path) -> Path:
    """`path` itself if it is a checkpoint, else the newest one of the run folder `path`."""
    if (path / folders.CHECKSUMS).is_file():
        return path
    newest = folders.latest_checkpoint(path / "checkpoints")
    if newest is None:
        raise FileNotFoundError(
            f"checkpoint={path} is neither a checkpoint nor a run folder that has one; check the path"
        )
    return newest


def unpadded(tensors: Mapping[str, Tensor], *, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """megatron's tensors without the padding rows of the embedding and of an untied output head."""
    return {
        name: tensor[: vocabulary.size] if name in (EMBEDDING, OUTPUT) else tensor for name, tensor in tensors.items()
    }


def _save_weights(tensors: dict[str, Tensor], folder: Path, *, dtype: torch.dtype, max_bytes: int) -> None:
    # Slices are copied: a file would otherwise hold, or refuse, the whole tensor behind them.
    plain = {name: tensor.detach().to("cpu", dtype, copy=True).contiguous() for name, tensor in tensors.items()}
    save_torch_state_dict(plain, folder, max_shard_size=max_bytes, metadata={"format": "pt"})
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # the library writes them for their owner alone
