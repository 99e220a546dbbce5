"""Names and checks the files of a speech tokenizer or Whisper folder: config.json and model.safetensors."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.files import fingerprint_files

CONFIG = "config.json"
"""File with the kind of model (`model_type`) and its shape."""
WEIGHTS = "model.safetensors"


def fingerprint_of(folder: Path) -> str:
    """sha256 of the two files; codes of tokenizers with equal fingerprints mean the same.

    Raises FileNotFoundError if a file is missing.
    """
    return fingerprint_files([require(folder / name) for name in (WEIGHTS, CONFIG)])


def require(path: Path) -> Path:
    """Return `path`; raises FileNotFoundError if there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; give the folder of a Whisper model or of a trained speech tokenizer"
        )
    return path
