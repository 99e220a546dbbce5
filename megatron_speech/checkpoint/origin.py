"""Where the weights in a checkpoint come from: the model that was imported, and the data of the runs since.

An import says it in its manifest, a run in ``origin.json``, which it begins with what its base says. So the name and
the licence of the first model are known at the end of any number of runs, whatever was moved or deleted meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest

ORIGIN = "origin.json"
"""In a run folder: {"base": facts of the imported model, "sources": {name: task, licences, languages}}."""

_NAMES = ("license", "license_name", "license_link", "language", "base_model", "licences")
"""What may be known of a base, each a list."""


def run_folder_of(checkpoint: Path) -> Path | None:
    """The run folder around a checkpoint, if it lies in one."""
    checkpoint = checkpoint.resolve()
    run = checkpoint.parent.parent
    return run if checkpoint.parent == run / "checkpoints" and (run / "config.yaml").is_file() else None


def origin_of(checkpoint: Path) -> dict[str, Any]:
    """Base and sources of a checkpoint; base is {} for a model from scratch, None where nothing is recorded.

    ValueError where the file that says it is damaged.
    """
    if (checkpoint / MANIFEST).is_file():
        manifest = read_manifest(checkpoint)
        facts, config = (each if isinstance(each := manifest.get(key), dict) else {} for key in ("facts", "config"))
        origin = {"base": facts.get("base", {"name": Path(str(config.get("model", ""))).name}), "sources": {}}
        _require_whole(origin, checkpoint / MANIFEST, mend="restore it from a copy, or import the model again")
        return origin
    run = run_folder_of(checkpoint)
    if run is not None and (run / ORIGIN).is_file():
        return read_origin(run / ORIGIN)
    return {"base": None, "sources": {}}


def read_origin(path: Path) -> dict[str, Any]:
    """The content of a run's origin.json; ValueError where it is damaged."""
    mend = "restore it from a copy, or remove it: a run that goes on writes it again"
    try:
        origin: dict[str, Any] = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON; {mend}") from error
    _require_whole(origin, path, mend=mend)
    return origin


def _require_whole(origin: Any, path: Path, *, mend: str) -> None:
    """ValueError naming the part of an origin that is no such part."""
    whole = isinstance(origin, dict)
    base, sources = (origin.get("base", ...), origin.get("sources")) if whole else (..., None)
    if not (base is None or base == {} or (isinstance(base, dict) and isinstance(base.get("name"), str))):
        raise ValueError(f"{path} is damaged: it does not say base; {mend}")
    if wrong := [key for key in _NAMES if not _are_names((base or {}).get(key, []))]:
        raise ValueError(f"{path} is damaged: base.{wrong[0]} is no list of names; {mend}")
    if not isinstance(sources, dict):
        raise ValueError(f"{path} is damaged: it does not say sources; {mend}")
    for name, source in sources.items():
        told = source if isinstance(source, dict) else {}
        lists = all(_are_names(told.get(key)) for key in ("licences", "languages"))
        if not (isinstance(told.get("task"), str) and lists):
            raise ValueError(f"{path} is damaged: sources.{name} lacks task, licences or languages; {mend}")


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
