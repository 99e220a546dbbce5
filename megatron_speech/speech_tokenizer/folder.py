"""The folder of a speech tokenizer or Whisper model: config.json and model.safetensors."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.files import fingerprint_files

CONFIG = "config.json"
"""Says which kind of model it is (`model_type`), and its shape."""
WEIGHTS = "model.safetensors"


def fingerprint_of(folder: Path) -> str:
    """sha256 of configuration and weights: equal exactly when codes mean the same.

    FileNotFoundError where one of the two files is missing.
    """
    return fingerprint_files([require(folder / name) for name in (WEIGHTS, CONFIG)])


def require(path: Path) -> Path:
    """`path`, or FileNotFoundError saying what is missing and what would make it."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; give the folder of a Whisper model or of a trained speech tokenizer"
        )
    return path
