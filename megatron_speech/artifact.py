"""Outputs of offline stages: complete or absent, and able to say what they were made from.

An artefact is a folder with a ``manifest.json``. It is built under ``<name>.partial`` and renamed when complete, so a
final name never holds half a result; a stage that can resume finds its own partial folder again. The manifest carries
the tool's configuration and the identities of its inputs, so that rerunning a pipeline skips what is done and refuses
what was made from something else. Price: changing any input makes everything downstream say so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megatron_speech import __version__
from megatron_speech.config.parse import to_dict

MANIFEST = "manifest.json"


@dataclass
class Draft:
    """A stage's output while it is being made."""

    folder: Path
    """Where to write; becomes the final folder on success."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Results for the manifest: counts, rates, losses (plain JSON types)."""


def is_made(output: Path, *, kind: str, config: Any, inputs: Sequence[Path] = ()) -> bool:
    """True when `output` was completed from this configuration and these inputs, False when absent.

    Raises ValueError naming the difference when it was made from something else: nothing is overwritten silently.
    """
    if not output.exists():
        return False
    made = read_manifest(output)
    wanted = _identity(kind, config, inputs)
    for part in ("kind", "config", "inputs"):
        if made.get(part) != wanted[part]:
            difference = _first_difference(made.get(part), wanted[part])
            raise ValueError(
                f"{output} exists but was made with another {part} ({difference}); remove it or choose another output"
            )
    return True


@contextmanager
def make_artifact(output: Path, *, kind: str, config: Any, inputs: Sequence[Path] = ()) -> Iterator[Draft]:
    """Build the artefact folder `output`; it appears under its name only if the block ends without an error.

    ``output.partial`` is kept after a failure, and handed back to a later attempt of the same identity (for stages that
    resume); a partial folder of another identity is deleted first.
    """
    identity = _identity(kind, config, inputs)
    partial = output.with_name(output.name + ".partial")
    marker = partial / "identity.json"
    if partial.exists():
        if not marker.is_file() and any(partial.iterdir()):
            raise FileExistsError(f"{partial} is in the way and was not made by this stage; move it, or remove it")
        if not marker.is_file() or read_json(marker) != identity:
            shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_atomic(marker, json.dumps(identity))
    draft = Draft(partial)
    yield draft
    marker.unlink()
    manifest = {**identity, "version": __version__, "facts": to_dict(draft.facts)}
    write_atomic(partial / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    partial.rename(output)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a completed artefact; FileNotFoundError names the folder and what it lacks."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {MANIFEST}: it does not exist or its stage was not finished; run that stage first"
        )
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not {"kind", "facts"} <= manifest.keys():
        raise ValueError(f"{path} is no manifest: it lacks kind or facts; make {folder} again")
    return manifest


def read_json(path: Path) -> Any:
    """The content of a JSON file; ValueError names the file that is not JSON."""
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}): it is damaged; remove it or make it again") from error


def write_atomic(path: Path, text: str) -> None:
    """Write a small file so that a reader, or a crash, sees the old content or the new, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def fingerprint_files(paths: Sequence[Path]) -> str:
    """sha256 over names and contents, in name order."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _identity(kind: str, config: Any, inputs: Sequence[Path]) -> dict[str, Any]:
    return {"kind": kind, "config": to_dict(config), "inputs": {str(path): _input_id(path) for path in inputs}}


def _input_id(path: Path) -> str:
    """An artefact is identified by its manifest, a plain file by its content."""
    if path.is_file():
        return fingerprint_files([path])
    read_manifest(path)
    return fingerprint_files([path / MANIFEST])


def _first_difference(old: Any, new: Any, key: str = "") -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                return _first_difference(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    return f"{key or 'value'}: {str(old)[:60]} -> {str(new)[:60]}"
