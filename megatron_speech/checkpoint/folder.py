"""Checkpoint folders on disk: complete or absent, checked before use, the newest easy to find. No torch, no megatron.

``checkpoints/step_<n>/`` is written as ``step_<n>.partial`` and renamed when every file is on the disk, so a name
without suffix never holds half a checkpoint, whatever is killed and when. Beside the weights lie plain JSON facts:
``model.json`` (shape), ``vocabulary.json``, ``state.json``, and ``checksums.json`` (xxh3 and size per file). Price: one
more read of the files (from the page cache) when saving, one before loading.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from megatron_speech.artifact import file_xxh3, read_json, write_atomic
from megatron_speech.config.model import ModelConfig
from megatron_speech.config.parse import to_dict
from megatron_speech.plain_json import to_json
from megatron_speech.vocabulary import Vocabulary

CHECKSUMS = "checksums.json"
PARTIAL = ".partial"
_FACTS = ("model.json", "vocabulary.json", "state.json")
# What is opened besides them, where it is there: megatron-core's own files.
_READ = ("*.distcp", ".metadata", "metadata.json", "common.pt")
# Fields that say where weights came from or how they are used, not what their shape is.
_NOT_SHAPE = ("base", "init_method_std", "megatron")


def step_folder(checkpoints: Path, step: int) -> Path:
    """Name of the checkpoint after `step` steps."""
    return checkpoints / f"step_{step}"


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    if not checkpoints.is_dir():
        return []
    found = [path for path in checkpoints.iterdir() if re.fullmatch(r"step_\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def latest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    found = list_checkpoints(checkpoints)
    return found[-1] if found else None


def begin(folder: Path) -> Path:
    """An empty ``<folder>.partial`` to write into; leftovers of an interrupted save go. One rank calls this."""
    if folder.exists():
        raise FileExistsError(
            f"checkpoint {folder} exists already and is never overwritten; remove it or save elsewhere"
        )
    partial = folder.with_name(folder.name + PARTIAL)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial


def complete(partial: Path) -> None:
    """Give a written ``.partial`` folder its final name, once all of it is on the disk. One rank calls this."""
    for path in [*partial.iterdir(), partial]:
        _sync(path)
    partial.rename(partial.with_name(partial.name.removesuffix(PARTIAL)))
    _sync(partial.parent)


def keep_newest(checkpoints: Path, keep_last: int) -> None:
    """Delete all but the newest `keep_last` checkpoints, and leftovers. Names go first: none is ever half there."""
    for folder in list_checkpoints(checkpoints)[: -max(keep_last, 1)]:
        folder.rename(folder.with_name(folder.name + PARTIAL))
    for leftover in checkpoints.glob(f"step_*{PARTIAL}"):
        shutil.rmtree(leftover)


def write_facts(partial: Path, *, model: ModelConfig, vocabulary: Vocabulary, state: Mapping[str, Any]) -> None:
    """model.json, vocabulary.json and state.json: what the weights are, readable without torch."""
    write_atomic(partial / "model.json", to_json(to_dict(model), indent=1) + "\n")
    vocabulary.save(partial / "vocabulary.json")
    write_atomic(partial / "state.json", to_json(state, indent=1) + "\n")


def read_model_config(folder: Path) -> ModelConfig:
    """The shape stored in a checkpoint; FileNotFoundError says what the folder lacks."""
    fields = _read_json(folder, "model.json")
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    if unknown := sorted(fields.keys() - known):
        raise ValueError(f"{folder}/model.json: {unknown[0]} is no field of a model; the file is of another version")
    try:
        return ModelConfig(**fields)
    except ValueError as error:
        raise ValueError(f"{folder}/model.json: {error}") from error


def read_state(folder: Path) -> dict[str, Any]:
    """The plain JSON state stored in a checkpoint."""
    return _read_json(folder, "state.json")


def require_same_model(folder: Path, *, model: ModelConfig, vocabulary: Vocabulary) -> None:
    """Refuse a checkpoint of another shape or vocabulary; the ValueError names the field and both values."""
    stored = read_model_config(folder)
    theirs, ours = ({**to_dict(each), "kv_channels": each.head_dim} for each in (stored, model))
    for name in ours:
        if name not in _NOT_SHAPE and theirs[name] != ours[name]:
            raise ValueError(f"{folder}: model.{name}={theirs[name]} there, {ours[name]} in this run; make them equal")
    vocabulary.require(Vocabulary.load(folder).fingerprint, holder=str(folder))


def checksums(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and xxh3-128 of each file, by name."""
    return {path.name: {"bytes": path.stat().st_size, "xxh3": file_xxh3(path)} for path in paths}


def write_checksums(partial: Path, sums: Mapping[str, Any]) -> None:
    """Record the checksums of all files; the last file to be written."""
    write_atomic(partial / CHECKSUMS, to_json(dict(sorted(sums.items())), indent=1) + "\n")


def verify(folder: Path, *, part: int = 0, parts: int = 1) -> None:
    """Check files number `part`, `part + parts`, ... against checksums.json (each rank takes its part).

    Raises ValueError naming the damaged file, FileNotFoundError naming a missing one.
    """
    expected = _read_checksums(folder)
    for name in list(expected)[part::parts]:
        _verify_file(folder / name, expected[name], contents=True)


def verify_facts(folder: Path) -> None:
    """Check all files but the insides of those that hold tensors: for readers that check the tensors they read."""
    for name, expected in _read_checksums(folder).items():
        _verify_file(folder / name, expected, contents=not name.endswith(".distcp"))


def _read_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """checksums.json: well-formed, and with a line for every file that a reader would open."""
    sums = _read_json(folder, CHECKSUMS)
    for name, each in sums.items():
        if (
            not isinstance(each, dict)
            or not isinstance(each.get("bytes"), int)
            or not isinstance(each.get("xxh3"), str)
        ):
            raise ValueError(f"{folder / CHECKSUMS}: {name} has no size and sum; go on from an earlier checkpoint")
        if Path(name).name != name:
            raise ValueError(f"{folder / CHECKSUMS} names {name}, which is no file of this folder; do not trust it")
    present = {path.name for pattern in _READ for path in folder.glob(pattern)}
    if bare := sorted({*_FACTS, *present} - sums.keys()):
        raise ValueError(f"{folder / CHECKSUMS} has no checksum of {bare[0]}; go on from an earlier checkpoint")
    return sums


def _verify_file(path: Path, expected: Mapping[str, Any], *, contents: bool) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path.parent} has lost {path.name}; go on from an earlier checkpoint")
    if path.stat().st_size != expected["bytes"] or (contents and file_xxh3(path) != expected["xxh3"]):
        raise ValueError(f"{path} does not match its checksum: the file is damaged; go on from an earlier checkpoint")


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"checkpoint folder {folder} does not exist; give a folder such as run/checkpoints/step_100"
        )
    if not (folder / name).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {name}: it is no checkpoint of this project; give one that was saved by it"
        )
    content = read_json(folder / name)
    if not isinstance(content, dict):
        raise ValueError(f"{folder / name} holds no JSON object: it is damaged; go on from an earlier checkpoint")
    return content


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
