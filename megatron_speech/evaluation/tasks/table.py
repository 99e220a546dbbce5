"""The evaluation tasks by name, each with its settings. A new task is one file and one line here.

The first three have sections of their own in the settings. Others are asked for under ``tasks``:

    tasks: {<name>: {<the settings of the task>}}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from megatron_speech.config.parsing.build import build_section
from megatron_speech.config.stages.evaluate import EvaluateConfig, HeldOutConfig, SpokenCorpusConfig
from megatron_speech.evaluation.tasks.cloze import ClozeTask
from megatron_speech.evaluation.tasks.geo_qa import GeoQaTask
from megatron_speech.evaluation.tasks.held_out import HeldOutTask
from megatron_speech.evaluation.tasks.interface import EvaluationTask

TASKS: dict[str, tuple[type[Any], Callable[[Any], EvaluationTask[Any]]]] = {
    "cloze": (SpokenCorpusConfig, ClozeTask),
    "geo_qa": (SpokenCorpusConfig, GeoQaTask),
    "held_out": (HeldOutConfig, HeldOutTask),
}
"""In the order of evaluation.json: the class of the settings, and what makes a task of them."""


def asked_tasks(config: EvaluateConfig) -> dict[str, EvaluationTask[Any]]:
    """The tasks that `config` asks for, by name; ValueError for an unknown name or setting."""
    if unknown := [name for name in config.tasks if name not in TASKS]:
        raise ValueError(f"tasks.{unknown[0]}: no such evaluation task; the tasks are {', '.join(TASKS)}")
    settings: dict[str, Any] = {"cloze": config.cloze, "geo_qa": config.geo_qa, "held_out": config.held_out}
    if twice := [name for name in config.tasks if name in settings]:
        raise ValueError(f"tasks.{twice[0]}: has a section of its own; write {twice[0]} without tasks")
    for name, values in config.tasks.items():
        settings[name] = build_section(TASKS[name][0], values, prefix=f"tasks.{name}.")
    return {name: make(settings[name]) for name, (_, make) in TASKS.items() if settings.get(name) is not None}
