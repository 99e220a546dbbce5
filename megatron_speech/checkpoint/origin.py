"""Where the weights in a checkpoint come from: the model that was imported, and the data of the runs since.

An import says it in its manifest, a run in ``origin.json``, which it begins with what its base says. So the name and
the licence of the first model are known at the end of any number of runs, whatever was moved or deleted meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megatron_speech.artifact import MANIFEST, read_json, read_manifest

ORIGIN = "origin.json"
"""In a run folder: {"base": facts of the imported model, "sources": {name: task, licences, languages}}."""


def run_folder_of(checkpoint: Path) -> Path | None:
    """The run folder around a checkpoint, if it lies in one."""
    checkpoint = checkpoint.resolve()
    run = checkpoint.parent.parent
    return run if checkpoint.parent == run / "checkpoints" and (run / "config.yaml").is_file() else None


def origin_of(checkpoint: Path) -> dict[str, Any]:
    """Base and sources of a checkpoint; base is {} for a model from scratch, None where nothing is recorded."""
    if (checkpoint / MANIFEST).is_file():
        manifest = read_manifest(checkpoint)
        name = Path(str(manifest.get("config", {}).get("model", ""))).name
        return {"base": manifest["facts"].get("base", {"name": name}), "sources": {}}
    run = run_folder_of(checkpoint)
    if run is not None and (run / ORIGIN).is_file():
        return read_origin(run / ORIGIN)
    return {"base": None, "sources": {}}


def read_origin(path: Path) -> dict[str, Any]:
    """The content of a run's origin.json; ValueError where it is damaged."""
    mend = "restore it from a copy, or remove it: a run that goes on writes it again"
    try:
        origin = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON; {mend}") from error
    if not isinstance(origin, dict) or not isinstance(origin.get("base", ""), dict | None):
        raise ValueError(f"{path} is damaged: it does not say base; {mend}")
    sources = origin.get("sources")
    if not isinstance(sources, dict) or not all(map(_is_source, sources.values())):
        raise ValueError(f"{path} is damaged: its sources lack task, licences or languages; {mend}")
    return origin


def _is_source(facts: Any) -> bool:
    return isinstance(facts, dict) and all(
        isinstance(facts.get(key), kind) for key, kind in (("task", str), ("licences", list), ("languages", list))
    )
