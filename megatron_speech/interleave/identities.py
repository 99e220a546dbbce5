"""What a run's parts depend on: the settings that are compared before a part made earlier is used again.

A part made under other settings is made again (a shard, a task), or refused (the output, a journal); so a setting that
does not decide a part must not stand in its identity, or a larger batch would throw hours of synthesis away. Price: who
adds a setting must decide here what it decides.
"""

from __future__ import annotations

from typing import Any

from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.corpus.text_tasks import TextTask

SHARD = ("seed", "name", "shard_documents", "on_bad_line", "boundary", "spans", "speakable", "synthesis", "noise")
"""Settings that decide a shard."""
SPREAD = ("run", "documents_per_task")
"""Settings of how the work is spread over tasks, processes and jobs."""
PACE = ("batch_size", "device")
"""Settings of synthesis that decide how fast a span is spoken, and nothing else."""
JOIN = ("max_wer",)
"""Settings of noise that decide which shards are set aside when all are joined, and nothing before."""
TOLERANCE = ("max_quarantined_share",)
"""Settings, also of noise, that decide whether there is an output, and nothing in it."""


def output_identity(config: BuildInterleavedConfig) -> dict[str, Any]:
    """What the whole output depends on, beside the inputs."""
    settings = _without(to_dict(config), SPREAD + TOLERANCE)
    if settings["noise"]:
        settings["noise"] = _without(settings["noise"], TOLERANCE)
    return {**settings, "synthesis": _without(settings["synthesis"], PACE)}


def shard_identity(config: BuildInterleavedConfig, task: TextTask) -> dict[str, Any]:
    """What a shard of a task depends on, beside the inputs."""
    settings = {name: value for name, value in output_identity(config).items() if name in SHARD}
    if settings["noise"]:
        settings["noise"] = _without(settings["noise"], JOIN)
    return {"corpus": task.corpus, "read": _without(to_dict(task.settings), ("path",)), **settings}


def task_identity(config: BuildInterleavedConfig, task: TextTask) -> dict[str, Any]:
    """What a task depends on, beside the inputs."""
    return {**shard_identity(config, task), "records": list(task.records)}


def synthesis_identity(config: BuildInterleavedConfig, *, model: str) -> dict[str, Any]:
    """What decides the codes of a (key, text), where `model` identifies the model that speaks."""
    language = config.speakable.language  # in which numbers and signs are read
    return {
        "model": model,
        "seed": config.seed,
        "language": language,
        **_without(to_dict(config.synthesis), PACE),
    }


def _without(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
