"""A toy world to train in, made once for each test file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.speech_tokenizer.training.toys import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))
