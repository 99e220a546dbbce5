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
        origin: dict[str, Any] = read_json(run / ORIGIN)
        return origin
    return {"base": None, "sources": {}}
