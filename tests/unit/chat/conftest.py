"""A tiny model that writes bytes and 16 codes, with a tokenizer, a decoder and a recording that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.generate import GenerateConfig
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.table import read_facts
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from tests.toys import write_model
from tests.unit.speech_decoder.toys import write_toy_decoder
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, placed_model, write_text_side


@dataclass(frozen=True)
class World:
    """Folders that fit each other."""

    root: Path
    model: Path
    speech_tokenizer: Path
    speech_decoder: Path
    vocoder: Path
    question: Path
    """A recording of 1.5 s at 44.1 kHz."""

    def settings(self, **changes: object) -> GenerateConfig:
        """Settings of `generate` with every folder and 12 tokens, sampled."""
        folders = {name: getattr(self, name) for name in ("model", "speech_tokenizer", "speech_decoder", "vocoder")}
        return GenerateConfig(**{**folders, "max_new_tokens": 12, **changes})


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("chat")
    tokenizer = root / "speech_tokenizer"
    save_tokenizer(tokenizer)
    fingerprint = read_facts(tokenizer).fingerprint
    build_vocabulary(
        BuildVocabularyConfig(
            output=root / "vocabulary", text="bytes", codebook_size=16, speech_fingerprint=fingerprint
        )
    )
    write_model(root / "hf", root / "vocabulary", initializer_range=0.3, max_position_embeddings=128)
    decoder, vocoder = write_toy_decoder(root, codebook_size=16, fingerprint=fingerprint)
    soundfile.write(root / "question.wav", noise(66_150, 5), 44_100)
    return World(root, root / "hf", tokenizer, decoder, vocoder, root / "question.wav")


def save_tokenizer(folder: Path, **changes: object) -> None:
    """A toy speech tokenizer for clips up to 4 s."""
    text = folder.with_name(f"{folder.name}.text")
    text.mkdir()
    write_text_side(text)
    folder.mkdir()
    save_model(placed_model(narrowed_config(**changes), noise(32_000, 3)), folder, text_from=text)
