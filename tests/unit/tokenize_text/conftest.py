"""A vocabulary of bytes, for the tests that tokenize text."""

from __future__ import annotations

from pathlib import Path

import pytest

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=4))
    return tmp_path / "vocabulary"
