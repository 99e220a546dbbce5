"""Evaluations with invented credits."""

from __future__ import annotations

import json
import random
from pathlib import Path

from megatron_speech.artifacts.facts.evaluation import EvaluationResults
from megatron_speech.artifacts.manifest import make_artifact

PROTOCOL = {"id": "1", "chance": {"Cloze": 0.5}, "template": "t", "score": "per token", "data": {"d": "9"}, "code": "c"}


def evaluation(folder: Path, credits: dict[str, list[float]], *, more: dict | None = None, readings: int = 1) -> Path:
    """An evaluation with these credits by modality pair, for the items i0, i1, ..."""
    with make_artifact(folder, kind="evaluation", config={"name": folder.name}) as draft:
        lines = [
            {"task": "Cloze", "pair": pair, "item": f"i{number}", "credit": value}
            for pair, values in credits.items()
            for number, value in enumerate(values)
            for _ in range(readings)
        ]
        (draft.folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (draft.folder / "protocol.json").write_text(json.dumps({"cloze": PROTOCOL | (more or {})}))
        draft.facts = EvaluationResults(by_task={})
    return folder


def credits(share: float, *, seed: int, items: int = 200) -> list[float]:
    drawn = random.Random(seed)
    return [float(drawn.random() < share) for _ in range(items)]
