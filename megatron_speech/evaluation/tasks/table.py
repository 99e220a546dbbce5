"""Table of evaluation tasks by name. A new task is one file and one line here.

Cloze, GeoQA and held-out loss have settings sections of their own. Other tasks are listed under ``tasks``; their fields
are their settings:

    tasks: {<name>: {<field>: <value>}}
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from megatron_speech.config.parsing.build import build_section
from megatron_speech.config.run.evaluation import GeoQaConfig, SpokenCorpusConfig
from megatron_speech.config.stages.evaluate import HeldOutConfig
from megatron_speech.evaluation.tasks.choices.task import ChoicesTask
from megatron_speech.evaluation.tasks.cloze import ClozeTask
from megatron_speech.evaluation.tasks.geo_qa import GeoQaTask
from megatron_speech.evaluation.tasks.held_out import HeldOutTask
from megatron_speech.evaluation.tasks.interface import EvaluationTask, GenerationTask
from megatron_speech.evaluation.tasks.questions.task import QuestionsTask
from megatron_speech.evaluation.tasks.recognition import RecognitionTask
from megatron_speech.evaluation.tasks.synthesis import SynthesisTask

Task = EvaluationTask[Any] | GenerationTask[Any]
TASKS: dict[str, Callable[..., Task]] = {
    "cloze": ClozeTask,
    "choices": ChoicesTask,
    "geo_qa": GeoQaTask,
    "held_out": HeldOutTask,
    "questions": QuestionsTask,
    "recognition": RecognitionTask,
    "synthesis": SynthesisTask,
}
"""Frozen dataclasses by task name, in the order of evaluation.json."""


class TaskSections(Protocol):
    """Settings that ask for tasks."""

    @property
    def cloze(self) -> SpokenCorpusConfig | None:
        """WikiTopicCloze and WikiSameTopicCloze."""

    @property
    def geo_qa(self) -> GeoQaConfig | None:
        """GeoQA."""

    @property
    def held_out(self) -> HeldOutConfig | None:
        """Held-out documents."""

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Further tasks by name."""


def asked_tasks(config: TaskSections) -> dict[str, Task]:
    """The tasks that `config` asks for, by name; ValueError for an unknown name or setting."""
    sections = {"cloze": config.cloze, "geo_qa": config.geo_qa, "held_out": config.held_out}
    for name in config.tasks:
        if name in sections:
            raise ValueError(f"tasks.{name}: has a section of its own; write {name} without tasks")
        if name not in TASKS:
            near = difflib.get_close_matches(name, TASKS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the tasks are {', '.join(TASKS)}"
            raise ValueError(f"tasks.{name}: no such evaluation task; {hint}")
    tasks: dict[str, Task] = {}
    for name, kind in TASKS.items():
        if name in config.tasks:
            tasks[name] = build_section(kind, config.tasks[name], prefix=f"tasks.{name}.")
        elif sections.get(name) is not None:
            tasks[name] = kind(sections[name])
    return tasks
