"""Checkpoint folders on disk: complete or absent, and checked before use. Imports neither torch nor megatron-core.

``checkpoints/step_<n>/`` is written as ``step_<n>.partial`` and renamed when every file is on the disk. So a folder
without the suffix is always complete, even if a run is killed. JSON files describe the weights: ``model.json`` (shape),
``vocabulary.json``, ``state.json``, and ``checksums.json`` (xxh3 and size per file).

Cost: the checksums take one read of all files when saving (from the page cache) and one before loading.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.checkpoint.checksums import CHECKSUMS as CHECKSUMS
from megatron_speech.checkpoint.checksums import STEP, Sums, mend, read_checksums, read_verified, verify_file
from megatron_speech.checkpoint.checksums import checksums as checksums
from megatron_speech.checkpoint.checksums import write_checksums as write_checksums
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

PARTIAL, STRAY, STATE = ".partial", ".stray", "state.json"
_FACTS = ("model.json", "vocabulary.json", STATE)
# Files of megatron-core that a reader opens if they are present.
_READ = ("*.distcp", ".metadata", "metadata.json", "common.pt")
NOT_SHAPE = ("base", "init_method_std", "megatron")
"""Fields of a model about the origin or the use of its weights, not about their shape."""


def step_folder(checkpoints: Path, step: int) -> Path:
    """Path of the checkpoint after `step` steps."""
    return checkpoints / f"step_{step}"


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in _named_as_one(checkpoints) if path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def strays(checkpoints: Path) -> list[Path]:
    """Paths named like a checkpoint that are not folders: files and broken links."""
    return sorted(path for path in _named_as_one(checkpoints) if not path.is_dir())


def _named_as_one(checkpoints: Path) -> list[Path]:
    return [path for path in checkpoints.iterdir() if STEP.fullmatch(path.name)] if checkpoints.is_dir() else []


def latest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    found = list_checkpoints(checkpoints)
    return found[-1] if found else None


def begin(folder: Path) -> Path:
    """Make an empty ``<folder>.partial`` to write into, and return it. One rank calls this.

    Leftovers of an interrupted save are deleted. A file or broken link at `folder` is renamed. Raises FileExistsError
    if the folder exists.
    """
    if folder.is_dir():
        raise FileExistsError(
            f"checkpoint {folder} exists already and is never overwritten; remove it or save elsewhere"
        )
    if os.path.lexists(folder):
        aside = folder.with_name(folder.name + STRAY)
        folder.replace(aside)
        logger.warning("%s is not a checkpoint folder but has the name of one: renamed to %s", folder, aside.name)
    partial = folder.with_name(folder.name + PARTIAL)
    _remove(partial)
    partial.mkdir(parents=True)
    return partial


def complete(partial: Path) -> None:
    """Flush a ``.partial`` folder to the disk, then give it its final name. One rank calls this."""
    for path in [*partial.iterdir(), partial]:
        _sync(path)
    partial.rename(partial.with_name(partial.name.removesuffix(PARTIAL)))
    _sync(partial.parent)


def keep_newest(checkpoints: Path, keep_last: int) -> None:
    """Delete leftovers and all but the newest `keep_last` checkpoints; each is renamed to ``.partial`` first."""
    for folder in list_checkpoints(checkpoints)[: -max(keep_last, 1)]:
        folder.rename(folder.with_name(folder.name + PARTIAL))
    for leftover in checkpoints.glob(f"step_*{PARTIAL}"):
        _remove(leftover)


def write_facts(partial: Path, *, model: ModelConfig, vocabulary: Vocabulary, state: CheckpointState) -> None:
    """Write model.json, vocabulary.json and state.json, which describe the weights and are readable without torch."""
    write_atomic(partial / "model.json", to_json(to_dict(model), indent=1) + "\n")
    vocabulary.save(partial / "vocabulary.json")
    write_atomic(partial / STATE, to_json(state.to_json(), indent=1) + "\n")


def read_model_config(folder: Path) -> ModelConfig:
    """The model shape stored in a checkpoint; FileNotFoundError names a missing file, ValueError a damaged one."""
    fields = _read_fact(folder, "model.json")
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    if unknown := sorted(fields.keys() - known):
        raise ValueError(f"{folder}/model.json: {unknown[0]} is no field of a model; the file is of another version")
    try:
        return ModelConfig(**fields)
    except ValueError as error:
        raise ValueError(f"{folder}/model.json: {error}") from error


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary stored in a checkpoint."""
    fields = _read_fact(folder, "vocabulary.json")
    try:
        return Vocabulary.from_json(fields)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{folder}/vocabulary.json is no vocabulary ({error}); {mend(folder)}") from error


def read_state(folder: Path) -> CheckpointState:
    """The state stored in a checkpoint; ValueError if it is damaged or the folder's name gives another step."""
    try:
        state = CheckpointState.from_json(_read_fact(folder, STATE))
    except ValueError as error:
        raise ValueError(f"{folder / STATE}: {error}; {mend(folder)}") from error
    named = STEP.fullmatch(folder.name)
    if named and state.step != int(named[1]):
        raise ValueError(
            f"{folder} holds the checkpoint of step {state.step}: it was renamed or swapped with another; "
            f"give it back the name step_{state.step}, or move it away"
        )
    return state


def require_same_model(folder: Path, *, model: ModelConfig, vocabulary: Vocabulary) -> None:
    """Raise ValueError for another shape or vocabulary, naming each setting that differs and both values."""
    theirs, ours = ({**to_dict(each), "kv_channels": each.head_dim} for each in (read_model_config(folder), model))
    require_equal_shapes(folder, theirs, ours)
    vocabulary.require(read_vocabulary(folder).fingerprint, holder=str(folder))


def require_equal_shapes(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise ValueError naming each setting of the shape that differs between `folder` and this run, and both values."""
    names = [name for name in ours if name not in NOT_SHAPE and theirs[name] != ours[name]]
    if names:
        differing = ", ".join(f"model.{name}={theirs[name]} there, {ours[name]} in this run" for name in names)
        raise ValueError(f"{folder}: {differing}; make them equal")


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds any file of a checkpoint, complete or not."""
    return any((folder / name).is_file() for name in (CHECKSUMS, ".metadata", STATE))


def verify(folder: Path, *, part: int = 0, parts: int = 1) -> None:
    """Check files number `part`, `part + parts`, ... against checksums.json (each rank checks its part).

    Raises ValueError naming a damaged file, FileNotFoundError naming a missing one.
    """
    sums = _read_checksums(folder)
    for name in list(sums)[part::parts]:
        verify_file(folder / name, sums)


def verify_facts(folder: Path) -> None:
    """Check all files, but only the size of tensor files: for readers that check each tensor that they read."""
    sums = _read_checksums(folder)
    for name in sums:
        verify_file(folder / name, sums, contents=not name.endswith(".distcp"))


def read_file(folder: Path, name: str) -> bytes:
    """Content of a checkpoint file, checked against its checksum. Use it for every file that is parsed."""
    return read_verified(folder / name, _read_checksums(folder, name))


def _read_checksums(folder: Path, *names: str) -> Sums:
    """checksums.json, which must list `names` and every present file that a reader would open."""
    present = {path.name for pattern in _READ for path in folder.glob(pattern)} if folder.is_dir() else set()
    return read_checksums(folder, needed={*_FACTS, *names, *present})


def _read_fact(folder: Path, name: str) -> dict[str, Any]:
    told = read_file(folder, name)
    try:
        content = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder / name} is no JSON ({error}); {mend(folder)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{folder / name} holds no JSON object; {mend(folder)}")
    return content


def _remove(path: Path) -> None:
    """Delete a folder, file or link; the target of a link stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
