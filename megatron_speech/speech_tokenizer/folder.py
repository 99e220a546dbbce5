"""Names and checks the files of a speech tokenizer or Whisper folder: config.json and model.safetensors."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest

CONFIG = "config.json"
"""File with the kind of model (`model_type`) and its shape."""
WEIGHTS = "model.safetensors"


def fingerprint_of(folder: Path) -> str:
    """sha256 of the two files; codes of tokenizers with equal fingerprints mean the same.

    Raises FileNotFoundError if a file is missing, ValueError if the folder's manifest has another fingerprint.
    """
    found = fingerprint_files([require(folder / name) for name in (WEIGHTS, CONFIG)])
    if found != (_noted(folder) or found):
        raise ValueError(
            f"{folder}: {WEIGHTS} or {CONFIG} differs from the fingerprint in {MANIFEST}: damaged or edited; restore "
            "them from a copy, or train the speech tokenizer again"
        )
    return found


def _noted(folder: Path) -> str | None:
    """The fingerprint in the manifest of a trained speech tokenizer; None if there is none."""
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder)
    return manifest.facts.get("fingerprint") if manifest.kind == "speech_tokenizer" else None


def require(path: Path) -> Path:
    """Return `path`; raises FileNotFoundError if there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; give the folder of a Whisper model or of a trained speech tokenizer"
        )
    return path
