"""Makes artifacts, the output folders of offline stages: complete or absent, with their origin in ``manifest.json``.

An artifact is built as a draft under ``<name>.partial`` and renamed when it is complete. A stage that can resume gets
its own draft back. The manifest holds the settings and the identities of the inputs. A second run skips finished
outputs, and refuses those made from something else. The manifest also holds the licences and languages of all inputs,
and the tool with its version, which is not part of the identity. Limitation: if an input changes, all outputs made from
it are refused until they are made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.files import fingerprint, fingerprint_files, read_json, write_atomic
from megatron_speech.artifacts.plain_json import first_difference, to_json
from megatron_speech.artifacts.provenance import made_by
from megatron_speech.config.parsing.near_path import did_you_mean
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.progress import follow

MANIFEST = "manifest.json"
MARKER = "identity.json"
"""File in a draft with its identity: kind, settings and inputs."""
PARTIAL = ".partial"
"""Suffix of drafts."""


UNRECORDED = "not recorded"
"""Licence of raw data for which the user gave none."""


@dataclass
class Draft:
    """An artifact in the making."""

    folder: Path
    """Folder to write to; renamed to the output when complete."""
    facts: Record = field(default_factory=Record)
    """Results for the manifest, such as counts, rates and losses."""
    licences: set[str] = field(default_factory=set)
    """Licences: starts with those of the inputs; stages that read raw data add theirs."""
    languages: set[str] = field(default_factory=set)
    """Languages: starts with those of the inputs; stages that read raw data add theirs."""


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """Content of an artifact's ``manifest.json``; `read_facts` reads the facts as a record."""

    kind: str
    """Kind of artifact, such as ``packed``."""
    config: Any = None
    """Settings of the stage that made it, as plain JSON."""
    inputs: dict[str, str] | None = None
    """Identities of its inputs, by path."""
    licences: tuple[str, ...] | None = None
    """Licences of all inputs, direct and indirect."""
    languages: tuple[str, ...] | None = None
    """Languages of all inputs, direct and indirect."""
    facts: dict[str, Any]
    """Results of the stage, as plain JSON."""
    made_by: dict[str, str | None] | None = None
    """Tool, version and commit; not part of the artifact's identity."""


Facts = TypeVar("Facts", bound=Record)

Inputs = Sequence[Path] | Mapping[str, str]
"""Files and artifacts that a stage reads, or their identities as computed once by `input_ids`."""


def is_made(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> bool:
    """Whether `output` is finished and was made from these settings and inputs; False if it does not exist.

    Raises ValueError with the difference if it was made from something else, FileExistsError if no stage made it.
    """
    require_place(output, inputs)
    if not output.exists():
        return False
    if not (output / MANIFEST).is_file():
        raise FileExistsError(f"{output} is in the way: it is no finished output of any stage; move it, or remove it")
    if difference := made_from_else(output, kind=kind, config=config, inputs=inputs):
        raise ValueError(f"{output} exists but was made {difference}; remove it or choose another output")
    (output / MARKER).unlink(missing_ok=True)  # left by a kill before the last step of `make_artifact`
    return True


def require_place(output: Path, inputs: Inputs = ()) -> None:
    """Raise ValueError if `output` has no name or is or lies inside one of `inputs`, FileExistsError for a dead link.

    A finished output could not be renamed onto a link to nothing.
    """
    if output.name in ("", ".."):
        raise ValueError(f"{output} is no name for an output; give the path of a folder that does not exist yet")
    if output.is_symlink() and not output.exists():
        raise FileExistsError(f"{output} is in the way: it is a link to nothing; move it, or remove it")
    place = Path(os.path.realpath(output))
    for path in map(Path, inputs):
        path = path.parent if _is_artifact(path.parent) else path  # a file of an artifact
        if Path(os.path.realpath(path)) in (place, *place.parents):
            raise ValueError(f"{output} is or lies inside {path}, from which it is made; choose another place")


def made_from_else(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> str:
    """How `output` was made otherwise: `with other settings (seed: 1 -> 2)`; empty if it has the given identity."""
    made, wanted = read_manifest(output), _identity(kind, config, inputs)
    if made.kind != wanted["kind"]:
        return f"as {made.kind}, not as {wanted['kind']}"
    if made.config != wanted["config"]:
        return f"with other settings ({first_difference(made.config, wanted['config'])})"
    if made.inputs != wanted["inputs"]:
        return f"from other inputs ({first_difference(made.inputs, wanted['inputs'])})"
    return ""


@contextmanager
def make_artifact(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> Iterator[Draft]:
    """Make the artifact `output` within the context; it gets its name only if the context ends without an error.

    After an error the draft ``<output>.partial`` is kept. The next attempt with the same identity continues it; an
    attempt with another identity deletes it. Raises FileExistsError if no stage made that folder.
    """
    # Reuse the draft of an earlier attempt, or start a new one.
    require_place(output, inputs)
    identity = _identity(kind, config, inputs)
    partial = output.with_name(output.name + PARTIAL)
    marker = partial / MARKER
    if partial.exists():
        begun = [path for path in partial.iterdir() if path.name != f"{marker.name}.tmp"]
        if not marker.is_file() and begun:
            raise FileExistsError(f"{partial} is in the way and was not made by this stage; move it, or remove it")
        if not marker.is_file() or read_json(marker) != identity:
            shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_atomic(marker, to_json(identity))
    draft = Draft(partial, licences=_inherited("licences", inputs), languages=_inherited("languages", inputs))
    yield draft
    # Complete: write the manifest and rename.
    terms = {"licences": sorted(draft.licences), "languages": sorted(draft.languages)}
    manifest = {**identity, **terms, "facts": draft.facts.to_json(), "made_by": made_by()}
    write_atomic(partial / MANIFEST, _text(manifest))
    _let_read(partial)
    partial.rename(output)
    (output / MARKER).unlink(missing_ok=True)  # last: until then the marker shows that a stage made it


def _let_read(folder: Path) -> None:
    """Make files readable for all who may read `folder`; safetensors makes them readable for their owner only."""
    readers = folder.stat().st_mode & 0o444
    for path in folder.rglob("*"):
        if not path.is_symlink() and path.is_file() and readers & ~path.stat().st_mode:
            path.chmod(path.stat().st_mode | readers)


def require_same_draft(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> None:
    """Raise ValueError with the difference if the existing draft of `output` has another identity.

    For stages with expensive unfinished work, which a mistake in the settings must not delete.
    """
    partial = output.with_name(output.name + PARTIAL)
    begun, wanted = read_json(partial / MARKER), json.loads(to_json(_identity(kind, config, inputs)))
    if begun != wanted:
        raise ValueError(
            f"{partial} was begun with {first_difference(begun, wanted)}; restore that to go on, or remove the folder"
        )


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an artifact; FileNotFoundError if `folder` has none, ValueError if it is damaged."""
    content = _content(folder)
    try:
        return Manifest.from_json(content)
    except ValueError as error:
        raise ValueError(f"{folder / MANIFEST} is no manifest: {error}; make {folder} again") from error


def read_facts(folder: Path, kind: type[Facts]) -> Facts:
    """Read the facts of an artifact as the record `kind`; ValueError if a key is missing or has another type."""
    manifest = read_manifest(folder)
    try:
        return kind.from_json(manifest.facts, "facts")
    except ValueError as error:
        again = f"make {folder} again, or give another folder: this one holds {manifest.kind!r}"
        raise ValueError(f"{folder / MANIFEST}: {error}; {again}") from error


def _content(folder: Path) -> dict[str, Any]:
    """Read a manifest as plain JSON."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} {_lacks_manifest(folder)}")
    content = read_json(path)
    if not isinstance(content, dict) or not {"kind", "facts"} <= content.keys():
        raise ValueError(f"{path} is no manifest: it lacks kind or facts; make {folder} again")
    return content


def _lacks_manifest(folder: Path) -> str:
    """Message on a folder without a manifest: fault and remedy."""
    partial = folder.with_name(folder.name + PARTIAL)
    if folder.name and not folder.exists() and partial.exists():
        return f"is not finished: {partial.name} is there; run the command that makes it once more, to its end"
    if not folder.exists():
        return f"does not exist; {did_you_mean(folder, folder=True)}"
    if not folder.is_dir():
        return "is a file, and no folder that a command made; correct the path"
    return f"holds no {MANIFEST}: no command made it, or not to its end; correct the path, or make it again"


def input_ids(paths: Sequence[Path]) -> dict[str, str]:
    """Identity of each input: hash of an artifact's manifest, or of a plain file's whole content."""
    ids = {}
    for path in follow(paths, "identify inputs", unit="inputs", late=True):
        ids[str(path)] = _input_id(path)
    return ids


def _identity(kind: str, config: Any, inputs: Inputs) -> dict[str, Any]:
    ids = dict(inputs) if isinstance(inputs, Mapping) else input_ids(inputs)
    return {"kind": kind, "config": to_dict(config), "inputs": ids}


def _input_id(path: Path) -> str:
    """Hash of an artifact's manifest without `made_by`, or of a plain file's content."""
    if path.is_file():
        return fingerprint_files([path])
    manifest = _content(path)  # as plain JSON, so that unknown keys count, too
    manifest.pop("made_by", None)
    return fingerprint([(MANIFEST, hashlib.sha256(_text(manifest).encode()).hexdigest())])


def _inherited(key: str, inputs: Inputs) -> set[str]:
    """Values under `key` in the manifests of `inputs`, or of the artifacts that hold them."""
    folders = (path if path.is_dir() else path.parent for path in map(Path, inputs))
    return {term for folder in filter(_is_artifact, folders) for term in getattr(read_manifest(folder), key) or ()}


def _is_artifact(folder: Path) -> bool:
    """Whether a stage wrote the ``manifest.json`` of `folder`, damaged or not; other programs use this name, too."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            begins = re.match(rb'\{\s*"kind":', file.read(64))
        return begins is not None and "facts" in json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        return isinstance(error, ValueError)


def _text(manifest: Mapping[str, Any]) -> str:
    return to_json(manifest, indent=1, ensure_ascii=False) + "\n"
