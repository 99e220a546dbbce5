"""Compares the settings of two trainings, from the configurations in their manifests.

A manifest keeps the settings of the version that made it. Settings are compared if both versions have them, or if the
list of rows names them. Folders and weights of the training speech count as one setting, `audio`, because versions
write them differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from megatron_speech.config.reports.tokenizer_report import pairs

AUDIO = "audio"


def require_as_listed(folder: Path, config: Mapping[str, Any], words: str) -> None:
    """Raises ValueError unless `config` has every setting of the command line `words`."""
    recorded = flat(config)
    for key, wanted in asked(words).items():
        if key not in recorded or not _same(recorded[key], wanted):
            raise ValueError(
                f"{folder} was made with {key}={recorded.get(key, 'nothing of that name')}, the list of rows says "
                f"{wanted}; remove the folder and train it again, or correct the list"
            )


def differences(config: Mapping[str, Any], base: Mapping[str, Any], words: str) -> list[str]:
    """Settings of `config` that differ from `base`, as "key=value"; those named in `words` come first."""
    ours, theirs = flat(config), flat(base)
    keys = dict.fromkeys([*asked(words), *(key for key in ours if key in theirs)])
    return [
        f"{key.removeprefix('bottleneck.')}={_shown(ours[key])}"
        for key in keys
        if key != "output" and key in ours and ours[key] != theirs.get(key)
    ]


def asked(words: str) -> dict[str, Any]:
    """Settings of the command line `words`, by dotted key."""
    given: dict[str, Any] = {}
    for key, value in pairs(words):
        given |= flat({key: yaml.safe_load(value)})
    return given


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, with the training speech as one setting."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if key == "sources":
            result[AUDIO] = ", ".join(sorted(_speech(source) for source in value.values()))
        elif isinstance(value, Mapping):
            result |= {f"{key}.{name}": part for name, part in flat(value).items()}
        else:
            result[key] = value
    return result


def _speech(source: Mapping[str, Any]) -> str:
    """Folder of a source, and its weight unless that is 1: "audio/a*3"."""
    weight, folder = source.get("weight", 1), str(source["audio"])
    return folder if weight == 1 else f"{folder}*{weight:g}"


def _same(recorded: Any, wanted: Any) -> bool:
    # yaml.safe_load reads 5e-4 as a string.
    if isinstance(recorded, int | float) and not isinstance(recorded, bool) and isinstance(wanted, str):
        try:
            return recorded == float(wanted)
        except ValueError:
            return False
    return bool(recorded == wanted)


def _shown(value: Any) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool) or value is None
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
