"""An evaluation that is killed at any instant, and run again, ends in the same bytes, and asks only what is missing."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.evaluation import harness, protocol
from megatron_speech.evaluation.harness import evaluate
from megatron_speech.evaluation.tasks.generation import write_answers
from megatron_speech.inference.model import LanguageModel
from tests.toys import write_jsonl, write_model

INSTANTS = 4
FILES = ("items.jsonl", "evaluation.json", "protocol.json")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Eight choices, scored in three groups, and eight questions, answered in two."""
    folder = tmp_path_factory.mktemp("items")
    endings = {"ending": "It was wet.", "random_ending": "Cats purr."}
    stories = [{"id": f"s{n}", "text": f"It rained {n} days.", "metadata": endings} for n in range(8)]
    questions = [{"id": f"q{n}", "text": f"What is {n} and 1?", "metadata": {"answer": str(n + 1)}} for n in range(8)]

    def sets(name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        return {"sets": {name: {"layout": "own_items", "folder": str(write_jsonl(folder / name, *lines))}}}

    asked = {"restricted": True, "max_text_tokens": 6, "batch_size": 3}
    return {"choices": sets("stories.jsonl", stories), "questions": sets("questions.jsonl", questions) | asked}


@pytest.fixture(scope="module")
def config(tasks: dict[str, Any], vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    folder = tmp_path_factory.mktemp("evaluations")
    model = write_model(folder / "hf", vocabulary)
    return EvaluateConfig(model=model, output=folder / "result", tasks=tasks, resamples=100)


@pytest.fixture(scope="module")
def undisturbed(config: EvaluateConfig) -> dict[str, bytes]:
    evaluate(config)
    return taken(config.output)


def taken(output: Path) -> dict[str, bytes]:
    """The bytes of an evaluation, which makes room for another."""
    assert {path.name for path in output.iterdir()} == {*FILES, "manifest.json"}
    found = {name: (output / name).read_bytes() for name in FILES}
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    return found


def calls_until_the_end(config: EvaluateConfig, *, kill_at: int | None = None) -> int:
    """Number of calls of Python functions in an evaluation by another process; 0 if SIGKILL ended it at one of them."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        with os.fdopen(read) as told:
            said = told.read()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if said else -signal.SIGKILL)
        return int(said or 0)
    calls = 0

    def count(_frame: FrameType, event: str, _value: object) -> None:
        nonlocal calls
        calls += event == "call"
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        torch.set_num_threads(1)  # a fork has none of its parent's threads; waiting for them would never end
        sys.setprofile(count)
        evaluate(config)
        sys.setprofile(None)
        os.write(write, str(calls).encode())
    finally:
        os._exit(1 if sys.exc_info()[0] else 0)


def test_killed_at_random_instants_it_ends_in_the_same_bytes(config, undisturbed):
    calls = calls_until_the_end(config)
    assert taken(config.output) == undisturbed
    drawn = random.Random(0)
    for _ in range(INSTANTS):
        assert not calls_until_the_end(config, kill_at=drawn.randrange(1, calls))
        evaluate(config)
        assert taken(config.output) == undisturbed


def killed_in_group(config: EvaluateConfig, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate in another process, which SIGKILL ends when a group is asked; groups count from 0."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        return
    try:
        torch.set_num_threads(1)
        count_groups(monkeypatch, kill_at=number)
        evaluate(config)
    finally:
        os._exit(1)


def count_groups(monkeypatch: pytest.MonkeyPatch, *, kill_at: int | None = None) -> list[str]:
    """Names of the functions that ask a group from now on."""
    asked: list[str] = []

    def counted(ask: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **settings: Any) -> Any:
            if len(asked) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            asked.append(ask.__name__)
            return ask(*args, **settings)

        return count

    monkeypatch.setattr(LanguageModel, "token_log_probabilities", counted(LanguageModel.token_log_probabilities))
    monkeypatch.setattr(harness, "write_answers", counted(write_answers))
    return asked


def test_groups_that_were_answered_are_not_asked_again(config, undisturbed, monkeypatch):
    killed_in_group(config, 1, monkeypatch)
    killed_in_group(config, 3, monkeypatch)  # which begins after the first group: three more end
    asked = count_groups(monkeypatch)
    evaluate(config)
    assert asked == ["write_answers"]
    assert taken(config.output) == undisturbed


def test_answers_by_another_protocol_are_asked_again(config, undisturbed, monkeypatch):
    killed_in_group(config, 4, monkeypatch)
    with monkeypatch.context() as other:
        other.setattr(protocol, "code_version", lambda modules: "of another version")
        killed_in_group(config, 1, monkeypatch)
    asked = count_groups(monkeypatch)
    evaluate(config)
    assert asked == [*["token_log_probabilities"] * 3, *["write_answers"] * 2]
    assert taken(config.output) == undisturbed
