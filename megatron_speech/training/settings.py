"""Settings that decide what a run learns, beside its plan: checkpoints remember them, resumed runs say what changed.

Each of them may change in the middle of a run: batch size and learning rate are functions of the samples read
(`training.schedule`), so every row is still read once and the rate follows the new curve. But such a run is no longer
the one that its last configuration describes, and its log must say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.run.training import PretrainConfig

# When to leave, and how a step is cut: neither changes what is learnt.
_OTHERS = ("train.stop_at_step", "train.micro_batch_size")


def deciding_settings(config: PretrainConfig) -> dict[str, Any]:
    """Values of plain JSON by dotted key, for state.json."""
    values = to_dict(config)
    sections = ("precision", "optimizer", "train")
    found = {f"{section}.{name}": value for section in sections for name, value in values[section].items()}
    found |= {f"model.megatron.{name}": value for name, value in values["model"]["megatron"].items()}
    return {key: value for key, value in found.items() if key not in _OTHERS}


def changed_settings(state: Mapping[str, Any], config: PretrainConfig) -> list[str]:
    """What to say of each setting that differs from those in a checkpoint's `state`, or of their absence there."""
    if "settings" not in state:
        return ["was saved without its settings (state.json lacks them); whether they changed cannot be told"]
    stored, ours = state["settings"], deciding_settings(config)
    keys = [*ours, *(key for key in stored if key not in ours)]
    return [
        f"was saved with other settings; from here on {key}: {stored.get(key, 'default')} -> {ours.get(key, 'default')}"
        for key in keys
        if (key in stored) != (key in ours) or stored.get(key) != ours.get(key)
    ]
