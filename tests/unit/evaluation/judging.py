"""Answers to be judged, a judge that knows, and what its command writes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.evaluation import EvaluationResults
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.inspection.judge import EndpointConfig, JudgeConfig
from megatron_speech.evaluation.judging.judge import judge
from tests.servers import JudgeServer

PROTOCOL = {
    "id": "1",
    "chance": {},
    "template": "t",
    "score": "accuracy",
    "decoding": "greedy",
    "matcher": "inclusion",
    "data": {"d": "9"},
    "code": "c",
    "dtype": "float32",
}
SAID = {"oslo": "It is Oslo.", "rome": "Milan, I think.", "lima": "Lima", "cairo": None, "quito": "Quito. Quito."}
"""What the model answered to the question for each capital; nothing to one."""
Messages = list[dict[str, str]]


def answers(folder: Path, said: dict[str, str | None] = SAID, *, protocol: dict | None = None, **more: Any) -> Path:
    """An evaluation with these answers; `more` replaces keys of all records."""
    with make_artifact(folder, kind="evaluation", config={"name": folder.name}) as draft:
        records = [
            {
                "evaluation_task": "questions",
                "task": "capitals",
                "pair": "text->text",
                "item": item,
                "subset": "",
                "question": f"Where is {item}?",
                **({"reason": "no answer"} if answer is None else {"answer": answer, "ended": True, "reason": None}),
                "accepted": [item.title()],
                "credit": 0.0,
                **more,
            }
            for item, answer in said.items()
        ]
        records.append({"evaluation_task": "cloze", "task": "Cloze", "pair": "text->text", "item": "c", "credit": 1.0})
        (draft.folder / "items.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        protocols = {"questions": PROTOCOL | (protocol or {}), "cloze": PROTOCOL}
        (draft.folder / "protocol.json").write_text(json.dumps(protocols))
        draft.facts = EvaluationResults(by_task={})
    return folder


def knows(messages: Messages) -> str:
    """Right if the accepted answer stands in the answer."""
    asked = messages[-1]["content"]
    accepted, answer = (re.search(rf"{name}: (.*)", asked)[1] for name in ("Accepted answers", "Answer to grade"))
    return f"The answer names a place.\nVerdict: **{'Right' if accepted in answer else 'wrong'}**."


def config_of(tmp_path: Path, server: JudgeServer, **changes: Any) -> JudgeConfig:
    config = JudgeConfig(
        evaluation=tmp_path / "answers",
        output=tmp_path / "judged",
        judges={"toy": EndpointConfig(base_url=server.url, model="toy")},
        cache=tmp_path / "cache",
        attempts=3,
        timeout_s=20,
    )
    return replace(config, **changes)


def judged(config: JudgeConfig) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]:
    """Results, records by item and protocol of what `config` asks for."""
    judge(config)
    results, protocol = (
        json.loads((config.output / f"{name}.json").read_text()) for name in ("evaluation", "protocol")
    )
    lines = (config.output / "items.jsonl").read_text().splitlines()
    return results, {record["item"]: record for record in map(json.loads, lines)}, protocol["questions"]


def words_of(config: JudgeConfig) -> list[str]:
    toy = config.judges["toy"]
    return [
        *(str(config.evaluation), "--output", str(config.output), "--cache", str(config.cache)),
        *("--judges.toy.base_url", toy.base_url, "--judges.toy.model", toy.model, "--attempts", str(config.attempts)),
    ]
