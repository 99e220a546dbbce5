"""Small corpora to tokenize, and the settings for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from tests.toys import write_jsonl

COUNTED: dict[str, Any] = {"on_bad_line": "count", "max_quarantined_share": 1.0}


def corpus_folder(folder: Path, *, files: int = 3, documents: int = 4) -> Path:
    for file in range(files):
        lines = [{"id": f"{file}-{n}", "text": f"text {n} of file {file}"} for n in range(documents)]
        write_jsonl(folder / f"part-{file}.jsonl", *lines)
    return folder


def config_of(tmp_path: Path, output: str = "documents", run: dict[str, Any] | None = None, **changes: Any):
    corpus = TextCorpusConfig(path=tmp_path / "corpus", licence="CC0-1.0", language="en")
    settings = {"corpora": {"web": corpus}, "vocabulary": tmp_path / "vocabulary", "shard_tokens": 40, **changes}
    return TokenizeTextConfig(output=tmp_path / output, run=SpreadConfig(**(run or {})), **settings)


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder but its manifest, which names paths."""
    files = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
