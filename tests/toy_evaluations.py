"""Evaluations with invented credits, and items to evaluate."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from megatron_speech.artifacts.facts.evaluation import EvaluationResults
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.evaluation.tasks.cloze import TASKS
from tests.toys import write_codes, write_jsonl

PROTOCOL = {"id": "1", "chance": {"Cloze": 0.5}, "template": "t", "score": "per token", "data": {"d": "9"}, "code": "c"}


def evaluation(folder: Path, credits: dict[str, list[float]], *, more: dict | None = None, readings: int = 1) -> Path:
    """An evaluation with these credits by modality pair, for the items i0, i1, ..."""
    lines = [
        {"evaluation_task": "cloze", "task": "Cloze", "pair": pair, "item": f"i{number}", "credit": value}
        for pair, values in credits.items()
        for number, value in enumerate(values)
        for _ in range(readings)
    ]
    return write_evaluation(folder, lines, {"cloze": PROTOCOL | (more or {})})


def error_evaluation(folder: Path, edits: Sequence[int], words: Sequence[int] = (10,) * 40) -> Path:
    """An evaluation of recognition: so many errors among so many words, and twice as many among as many characters."""
    lines = [
        {
            "evaluation_task": "recognition",
            "task": "clean",
            "pair": "speech->text",
            "item": f"i{number}",
            "word_edits": made,
            "words": size,
            "character_edits": 2 * made,
            "characters": 2 * size,
        }
        for number, (made, size) in enumerate(zip(edits, words, strict=True))
    ]
    return write_evaluation(folder, lines, {"recognition": PROTOCOL | {"chance": {}}})


def write_evaluation(folder: Path, lines: Sequence[dict], protocols: dict[str, dict]) -> Path:
    """An evaluation with these lines of items.jsonl and entries of protocol.json."""
    with make_artifact(folder, kind="evaluation", config={"name": folder.name}) as draft:
        (draft.folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (draft.folder / "protocol.json").write_text(json.dumps(protocols))
        draft.facts = EvaluationResults(by_task={})
    return folder


def credits(share: float, *, seed: int, items: int = 200) -> list[float]:
    drawn = random.Random(seed)
    return [float(drawn.random() < share) for _ in range(items)]


CODES = 32


def write_cloze(folder: Path, *, items: int, fingerprint: str) -> None:
    """Cloze items of a few random letters: `folder`/cloze.jsonl, and invented speech in `folder`/codes."""
    draw = random.Random(0)
    lines, spoken = [], []
    for number in range(items):
        texts = {part: "".join(draw.choices("abcdefgh ", k=7)) + "." for part in ("context", "ending", *TASKS.values())}
        metadata = {part: text for part, text in texts.items() if part != "context"}
        lines.append({"id": f"c{number}", "text": texts["context"], "metadata": metadata})
        spoken += [
            TokenDocument(
                key=f"c{number}-{part}",
                tokens=np.array([ord(letter) % CODES for letter in text], np.int32),
                meta={"item": f"c{number}", "part": part},
            )
            for part, text in texts.items()
        ]
    write_jsonl(folder / "cloze.jsonl", *lines)
    write_codes(folder / "codes", spoken, num_codes=CODES, fingerprint=fingerprint)
