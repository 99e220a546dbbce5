"""Names the kinds of folders that commands read: what each is in words, and the command that makes it.

A finished output tells its kind in ``manifest.json``. Folders of other origin, such as a Whisper model, are known by
their files. A folder that shows no sign has no kind, and is left to the command that reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest


class Kind(NamedTuple):
    """What a folder of this kind holds, and where it comes from."""

    holds: str
    command: str
    """Verb of the command that makes it; empty if none does."""


KINDS = {
    "assets": Kind("fetched packages", "fetch_assets"),
    "asset": Kind("an asset of the miniature", "unpack_assets"),
    "audio": Kind("audio shards", "import_speech"),
    "checkpoint": Kind("a checkpoint", "convert_from_hf"),
    "contamination": Kind("evaluation items found in training data", "check_contamination"),
    "corpus": Kind("the texts of the miniature", "prepare_corpus"),
    "decoded_speech": Kind("decoded speech", "decode_speech"),
    "documents": Kind("documents of text", "tokenize_text"),
    "documents_recognition": Kind("documents of recognition", "build_task_documents"),
    "documents_synthesis": Kind("documents of synthesis", "build_task_documents"),
    "documents_text_to_token": Kind("documents of text-to-token pairs", "build_task_documents"),
    "evaluation": Kind("the scores of a model", "evaluate"),
    "facts": Kind("a corpus of facts", "prepare_facts"),
    "gradient_error": Kind("errors of gradients", "gradient_error"),
    "hugging_face": Kind("an exported model", "convert_to_hf"),
    "indexed_dataset": Kind("indexed datasets", "export_indexed_dataset"),
    "interleaved": Kind("interleaved documents", "build_interleaved"),
    "layers_probe": Kind("a probe of the layers of a model", "probe_layers"),
    "packed": Kind("packed rows", "pack_shards"),
    "prose": Kind("corpora of prose", "prepare_prose"),
    "round_trip": Kind("a round trip's report", "round_trip"),
    "run": Kind("a training run", "pretrain"),
    "samples": Kind("samples of a model", "generate"),
    "speech_codes": Kind("code shards", "tokenize_speech"),
    "speech_decoder": Kind("a speech decoder", "train_speech_decoder"),
    "speech_tokenizer": Kind("a speech tokenizer", "train_speech_tokenizer"),
    "speech_tokenizer_report": Kind("a report on a speech tokenizer", "tokenizer_report"),
    "text_model": Kind("a downloaded Hugging Face text model", ""),
    "text_tokenizer": Kind("a text tokenizer", "train_text_tokenizer"),
    "vocabulary": Kind("a vocabulary", "build_vocabulary"),
    "vocoder": Kind("a vocoder", ""),
    "whisper": Kind("a downloaded Whisper model", ""),
}


def kind_of(folder: Path) -> str | None:
    """Kind of a folder; None if it shows no sign of any, or a damaged one."""
    try:
        kind = read_manifest(folder).kind if (folder / MANIFEST).is_file() else ""
    except ValueError:
        return None
    return kind if kind not in ("", "asset") else _by_files(folder)


def _by_files(folder: Path) -> str | None:
    names = {path.name for path in folder.iterdir()}
    if {"config.yaml", "plan.json"} <= names:
        return "run"
    if {"model.json", "state.json", "checksums.json"} <= names:
        return "checkpoint"
    if "fetched" in names:
        return "assets"
    return _by_config(_config(folder), names) if "config.json" in names else None


def _by_config(config: dict[str, Any], names: set[str]) -> str | None:
    """Kind of a folder with weights of a network, by its config.json and its file names."""
    if "upsample_initial_channel" in config:
        return "vocoder"
    if {"net", "identity", "mel"} <= config.keys():
        return "speech_decoder"
    if config.get("model_type") == "whisper":
        return "speech_tokenizer" if "WhisperVQ" in str(config.get("architectures")) else "whisper"
    if "CausalLM" in str(config.get("architectures")):
        return "hugging_face" if "vocabulary.json" in names else "text_model"
    return None


def _config(folder: Path) -> dict[str, Any]:
    try:
        values = read_json(folder / "config.json")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
