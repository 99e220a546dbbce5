"""Determines the identity of each part: the settings it depends on, compared before an earlier part is used again.

If they differ, a shard or task is made again, and an output or journal is refused. A setting without effect on a part
must not be in its identity, or a larger batch size would discard hours of synthesis. Limitation: every new setting must
be assigned here by hand.
"""

from __future__ import annotations

from typing import Any

from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.corpus.text_tasks import TextTask

SHARD = ("seed", "name", "shard_documents", "on_bad_line", "boundary", "spans", "speakable", "synthesis", "noise")
"""Settings that a shard depends on."""
SPREAD = ("run", "documents_per_task")
"""Settings that spread the work over tasks, processes and jobs."""
PACE = ("batch_size", "device")
"""Settings of `synthesis` that change its speed only."""
JOIN = ("max_wer",)
"""Settings of `noise` that choose the noisy shards in the join, and change no shard."""
TOLERANCE = ("max_quarantined_share",)
"""Settings, also in `noise`, that may refuse an output but do not change it."""


def output_identity(config: BuildInterleavedConfig) -> dict[str, Any]:
    """Settings that the whole output depends on, beside the inputs."""
    settings = _without(to_dict(config), SPREAD + TOLERANCE)
    if settings["noise"]:
        settings["noise"] = _without(settings["noise"], TOLERANCE)
    return {**settings, "synthesis": _without(settings["synthesis"], PACE)}


def shard_identity(config: BuildInterleavedConfig, task: TextTask) -> dict[str, Any]:
    """Settings that a shard of a task depends on, beside the inputs."""
    settings = {name: value for name, value in output_identity(config).items() if name in SHARD}
    if settings["noise"]:
        settings["noise"] = _without(settings["noise"], JOIN)
    return {"corpus": task.corpus, "read": _without(to_dict(task.settings), ("path",)), **settings}


def task_identity(config: BuildInterleavedConfig, task: TextTask) -> dict[str, Any]:
    """Settings and records that a task depends on, beside the inputs."""
    return {**shard_identity(config, task), "records": list(task.records)}


def synthesis_identity(config: BuildInterleavedConfig, *, model: str) -> dict[str, Any]:
    """Settings that the codes of a (key, text) depend on; `model` is the identity of the text-to-token model."""
    language = config.speakable.language  # language of the readings
    return {
        "model": model,
        "seed": config.seed,
        "language": language,
        **_without(to_dict(config.synthesis), PACE),
    }


def _without(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
