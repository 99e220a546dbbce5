"""Table of the speech tokenizers, by `model_type` of config.json. A new one is one file and one line here."""

from __future__ import annotations

from pathlib import Path

import torch

from megatron_speech.artifacts.files import read_json
from megatron_speech.audio.features import Features, torch_features
from megatron_speech.speech_tokenizer.folder import CONFIG, require
from megatron_speech.speech_tokenizer.interface import (
    CodeRecognizer,
    SpeechTokenizer,
    SpeechTokenizerFacts,
    SpeechTokenizerKind,
)
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer

TOKENIZERS: dict[str, SpeechTokenizerKind] = {
    "whisper": WhisperVQTokenizer,
}
"""Folders of any other model_type are loaded as "whisper", which checks every key and weight."""


def read_facts(folder: Path) -> SpeechTokenizerFacts:
    """Read the facts of the speech tokenizer in `folder`, without its weights.

    Raises FileNotFoundError for a missing file, ValueError for a folder that is not a speech tokenizer.
    """
    return _kind_of(folder).read_facts(folder)


def load_speech_tokenizer(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    features: Features = torch_features,
    masked: bool = False,
) -> SpeechTokenizer:
    """Load the speech tokenizer in `folder`, with the options of `SpeechTokenizerKind.load`. Raises as `read_facts`."""
    return _kind_of(folder).load(folder, device=device, features=features, masked=masked)


def load_recognizer(folder: Path) -> CodeRecognizer:
    """Load the recogniser of the speech tokenizer in `folder`; ValueError if it has none."""
    return require_recognizer(load_speech_tokenizer(folder), folder)


def require_recognizer(tokenizer: SpeechTokenizer, folder: Path) -> CodeRecognizer:
    """Recogniser of `tokenizer`, which was loaded from `folder`; ValueError if it has none."""
    if tokenizer.recognizer is None:
        raise ValueError(
            f"{folder} holds the encoder of a speech tokenizer only: it cannot recognise; use the folder of the whole "
            "tokenizer"
        )
    return tokenizer.recognizer


def _kind_of(folder: Path) -> SpeechTokenizerKind:
    values = read_json(require(folder / CONFIG))
    name = values.get("model_type") if isinstance(values, dict) else None
    return TOKENIZERS.get(name, WhisperVQTokenizer) if isinstance(name, str) else WhisperVQTokenizer
