"""Settings that decide what a run learns, besides its plan: checkpoints store them, and resumed runs log changes.

Each of these settings may change when a run resumes. Every row is still read once, and the learning rate follows the
new curve, because both are functions of the samples read (`training.schedule`). But the last configuration then does
not describe the whole run, so the log must record the change.
"""

from __future__ import annotations

from typing import Any

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.run.training import PretrainConfig

# Settings of these sections that do not change what is learnt.
_OTHERS = ("train.stop_at_step", "train.micro_batch_size")


def deciding_settings(config: PretrainConfig) -> dict[str, Any]:
    """Values of the settings by dotted key, as plain JSON for state.json."""
    values = to_dict(config)
    sections = ("precision", "optimizer", "train")
    found = {f"{section}.{name}": value for section in sections for name, value in values[section].items()}
    found |= {f"model.megatron.{name}": value for name, value in values["model"]["megatron"].items()}
    return {key: value for key, value in found.items() if key not in _OTHERS}


def changed_settings(state: CheckpointState, config: PretrainConfig) -> list[str]:
    """One log message per setting that differs from a checkpoint's `state`, or one if `state` has no settings."""
    if state.settings is None:
        return ["was saved without its settings (state.json lacks them); whether they changed is unknown"]
    stored, ours = state.settings, deciding_settings(config)
    keys = [*ours, *(key for key in stored if key not in ours)]
    return [
        f"was saved with other settings; from here on {key}: {stored.get(key, 'default')} -> {ours.get(key, 'default')}"
        for key in keys
        if (key in stored) != (key in ours) or stored.get(key) != ours.get(key)
    ]
