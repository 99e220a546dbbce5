"""Where the weights in a checkpoint come from: the imported model, and the data of the runs since.

An import records this in its manifest, a run in ``origin.json``. A run copies the record of its base first. So the name
and licence of the first model are known after any number of runs, even if folders were moved or deleted.
"""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.facts.checkpoint import BaseFacts, ImportedFacts, Origin
from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest

ORIGIN = "origin.json"
"""Name of the file in a run folder that holds an `Origin`."""


def run_folder_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in, or None."""
    checkpoint = checkpoint.resolve()
    run = checkpoint.parent.parent
    return run if checkpoint.parent == run / "checkpoints" and (run / "config.yaml").is_file() else None


def origin_of(checkpoint: Path) -> Origin:
    """Base and sources of a checkpoint; the base is `SCRATCH` for random weights, None if nothing is recorded.

    Raises ValueError if the file with the record is damaged.
    """
    if (checkpoint / MANIFEST).is_file():
        manifest = read_manifest(checkpoint)
        try:
            base = ImportedFacts.from_json(manifest.facts).base
        except ValueError as error:
            mend = "restore it from a copy, or import the model again"
            raise ValueError(f"{checkpoint / MANIFEST} is damaged: {error}; {mend}") from error
        config = manifest.config if isinstance(manifest.config, dict) else {}
        return Origin(base=base or BaseFacts(name=Path(str(config.get("model", ""))).name), sources={})
    run = run_folder_of(checkpoint)
    if run is not None and (run / ORIGIN).is_file():
        return read_origin(run / ORIGIN)
    return Origin(base=None, sources={})


def read_origin(path: Path) -> Origin:
    """The content of a run's origin.json; ValueError if it is damaged."""
    mend = "restore it from a copy, or remove it: a run that goes on writes it again"
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON; {mend}") from error
    try:
        return Origin.from_json(content)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {mend}") from error
