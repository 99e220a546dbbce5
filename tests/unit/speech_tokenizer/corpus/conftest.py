"""A speech tokenizer, for the tests that encode corpora."""

from __future__ import annotations

from pathlib import Path

import pytest

from megatron_speech.speech_tokenizer.model import save_model
from tests.unit.speech_tokenizer.toys import narrowed_config, toy_model


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A folder as others publish them: without a manifest, and with the encoder alone."""
    model = toy_model(narrowed_config(quantize_encoder_only=True))
    save_model(model, tmp_path / "tokenizer", text_from=tmp_path)
    return tmp_path / "tokenizer"
