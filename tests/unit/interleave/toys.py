"""Small corpora to interleave, and an engine without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.interleave.build import build_interleaved
from megatron_speech.interleave.models import Models
from megatron_speech.text_to_token.engines.interface import EngineError

TEXT = "the river runs from the hills to the sea and turns many mills on its way"


OPENED = 5
"""Spans that the stand-in for an engine has in flight."""


def article(number: int) -> str:
    words = TEXT.split()
    return " ".join(words[(number + i) % len(words)] for i in range(10 + 7 * number)) + "."


def record(name: str, text: str, **metadata: object) -> dict[str, object]:
    return {"id": name, "text": text, "metadata": metadata}


class FakeEngine:
    """Codes that depend on key and text alone, a few at a time and out of order; one in five fails."""

    def __init__(self) -> None:
        self.spoken: list[str] = []
        self.dies_after: int | None = None

    def speak(self, _: Models, items: Iterable[tuple[str, str]]) -> Iterator[tuple[int, np.ndarray | None]]:
        waiting, opened = enumerate(items), []
        for number, (key, text) in waiting:
            opened.append((number, key, text))
            if len(opened) == OPENED:
                yield self._finish(opened.pop(2))
        while opened:
            yield self._finish(opened.pop())

    def _finish(self, span: tuple[int, str, str]) -> tuple[int, np.ndarray | None]:
        number, key, text = span
        if self.dies_after is not None and len(self.spoken) >= self.dies_after:
            self.dies_after = None
            raise EngineError("synthesis.engine=fake died (an illegal memory access); run the same command again")
        self.spoken.append(f"{key} {text}")
        digest = hashlib.sha256(f"{key}\0{text}".encode()).digest()
        return number, np.frombuffer(digest, np.uint8)[: 2 + digest[0] % 20] % 16 if digest[1] % 5 else None


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder but its manifest, which names paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run(config: BuildInterleavedConfig, output: str, **spread: object) -> Path:
    folder = config.output.with_name(output)
    build_interleaved(replace(config, output=folder, run=SpreadConfig(**spread)))
    return folder
