"""Outputs of offline stages: complete or absent, and able to say what they were made from.

An artifact is a folder with a ``manifest.json``. It is built under ``<name>.partial`` and renamed when complete, so a
final name never holds half a result; a stage that can resume finds its own partial folder again. The manifest carries
the tool's configuration and the identities of its inputs, so that rerunning a pipeline skips what is done and refuses
what was made from something else; beside them it keeps what made it (no part of the identity), and the licences and
languages of everything upstream. Price: changing any input makes everything downstream say so.
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
from megatron_speech.config.parsing.plain import to_dict

MANIFEST = "manifest.json"
MARKER = "identity.json"
"""In an unfinished artifact: what it is to be made from."""
PARTIAL = ".partial"
"""Ending of a folder that is being made."""


UNRECORDED = "not recorded"
"""The licence of raw data whose user gave none: it must not look like that of a tool which read it."""


@dataclass
class Draft:
    """A stage's output while it is being made."""

    folder: Path
    """Where to write; becomes the final folder on success."""
    facts: Record = field(default_factory=Record)
    """Results for the manifest: counts, rates, losses, as the record of its kind."""
    licences: set[str] = field(default_factory=set)
    """Terms of everything this is made from: the inputs' to begin with; a stage that reads raw data adds its own."""
    languages: set[str] = field(default_factory=set)
    """Likewise."""


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """What the ``manifest.json`` of a completed artifact says; `read_facts` gives its facts by attributes."""

    kind: str
    """Kind of artifact, such as ``packed``."""
    config: Any = None
    """Settings of the stage that made it, as plain JSON."""
    inputs: dict[str, str] | None = None
    """Identities of what it was made from, by path."""
    licences: tuple[str, ...] | None = None
    """Terms of everything upstream."""
    languages: tuple[str, ...] | None = None
    """Languages of everything upstream."""
    facts: dict[str, Any]
    """What the stage found, as plain JSON."""
    made_by: dict[str, str | None] | None = None
    """Tool, version and commit; no part of the artifact's identity."""


Facts = TypeVar("Facts", bound=Record)

Inputs = Sequence[Path] | Mapping[str, str]
"""Files and artifacts a stage reads, or what `input_ids` said of them, where many processes should not ask again."""


def is_made(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> bool:
    """True when `output` was completed from this configuration and these inputs, False when absent.

    Raises ValueError naming the difference when it was made from something else: nothing is overwritten silently.
    """
    require_place(output, inputs)
    if not output.exists():
        return False
    if not (output / MANIFEST).is_file():
        raise FileExistsError(f"{output} is in the way: it is no finished output of any stage; move it, or remove it")
    if difference := made_from_else(output, kind=kind, config=config, inputs=inputs):
        raise ValueError(f"{output} exists but was made with {difference}; remove it or choose another output")
    (output / MARKER).unlink(missing_ok=True)  # where a kill came before the last step of making it
    return True


def require_place(output: Path, inputs: Inputs = ()) -> None:
    """ValueError unless `output` is a folder with a name of its own, outside of all that it is made from."""
    if output.name in ("", ".."):
        raise ValueError(f"{output} is no name for an output; give the path of a folder that does not exist yet")
    place = Path(os.path.realpath(output))
    for path in map(Path, inputs):
        path = path.parent if _is_artifact(path.parent) else path  # a file of an artifact
        if Path(os.path.realpath(path)) in (place, *place.parents):
            raise ValueError(f"{output} is or lies inside {path}, from which it is made; choose another place")


def made_from_else(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> str:
    """What the artifact `output` was made with that is not this, in words; empty where there is nothing."""
    made, wanted = read_manifest(output), _identity(kind, config, inputs)
    for part in ("kind", "config", "inputs"):
        if getattr(made, part) != wanted[part]:
            return f"another {part} ({first_difference(getattr(made, part), wanted[part])})"
    return ""


@contextmanager
def make_artifact(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> Iterator[Draft]:
    """Build the artifact folder `output`; it appears under its name only if the block ends without an error.

    ``output.partial`` is kept after a failure, and handed back to a later attempt of the same identity (for stages that
    resume); a partial folder of another identity is deleted first.
    """
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
    terms = {"licences": sorted(draft.licences), "languages": sorted(draft.languages)}
    manifest = {**identity, **terms, "facts": draft.facts.to_json(), "made_by": made_by()}
    write_atomic(partial / MANIFEST, _text(manifest))
    _let_read(partial)
    partial.rename(output)
    (output / MARKER).unlink(missing_ok=True)  # last: a kill before leaves a folder that is known as this stage's


def _let_read(folder: Path) -> None:
    """Let whoever may read the folder read its files: safetensors writes for their owner alone."""
    readers = folder.stat().st_mode & 0o444
    for path in folder.rglob("*"):
        if not path.is_symlink() and path.is_file() and readers & ~path.stat().st_mode:
            path.chmod(path.stat().st_mode | readers)


def require_same_draft(output: Path, *, kind: str, config: Any, inputs: Inputs = ()) -> None:
    """ValueError naming the difference unless ``output.partial``, which exists, was begun from exactly this.

    For stages whose unfinished work is too dear to be deleted by a slip of the configuration.
    """
    partial = output.with_name(output.name + PARTIAL)
    begun, wanted = read_json(partial / MARKER), json.loads(to_json(_identity(kind, config, inputs)))
    if begun != wanted:
        raise ValueError(
            f"{partial} was begun with {first_difference(begun, wanted)}; restore that to go on, or remove the folder"
        )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a completed artifact; FileNotFoundError names the folder, and what it or its stage lacks."""
    content = _content(folder)
    try:
        return Manifest.from_json(content)
    except ValueError as error:
        raise ValueError(f"{folder / MANIFEST} is no manifest: {error}; make {folder} again") from error


def read_facts(folder: Path, kind: type[Facts]) -> Facts:
    """The facts of a completed artifact; ValueError names its manifest and the key that is missing or odd."""
    facts = read_manifest(folder).facts
    try:
        return kind.from_json(facts, "facts")
    except ValueError as error:
        raise ValueError(f"{folder / MANIFEST}: {error}; make {folder} again") from error


def _content(folder: Path) -> dict[str, Any]:
    """A manifest as plain JSON."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} {_lacks_manifest(folder)}")
    content = read_json(path)
    if not isinstance(content, dict) or not {"kind", "facts"} <= content.keys():
        raise ValueError(f"{path} is no manifest: it lacks kind or facts; make {folder} again")
    return content


def _lacks_manifest(folder: Path) -> str:
    """What is wrong with a folder that is no completed artifact, and what to do about it."""
    partial = folder.with_name(folder.name + PARTIAL)
    if folder.name and not folder.exists() and partial.exists():
        return f"is not finished: {partial.name} is there; run the stage which makes it to its end"
    if not folder.exists():
        return "does not exist; correct the path, or run the stage which makes it"
    if not folder.is_dir():
        return "is no folder that a stage made; correct the path"
    return (
        f"holds no {MANIFEST}: no stage made it, or not to its end; correct the path, or run the stage which makes it"
    )


def input_ids(paths: Sequence[Path]) -> dict[str, str]:
    """Identity of each input: an artifact's by its manifest, a plain file's by its content (all of it is read)."""
    return {str(path): _input_id(path) for path in paths}


def _identity(kind: str, config: Any, inputs: Inputs) -> dict[str, Any]:
    ids = dict(inputs) if isinstance(inputs, Mapping) else input_ids(inputs)
    return {"kind": kind, "config": to_dict(config), "inputs": ids}


def _input_id(path: Path) -> str:
    """An artifact is identified by its manifest, whatever made it; a plain file by its content."""
    if path.is_file():
        return fingerprint_files([path])
    manifest = _content(path)  # with whatever keys it has: its identity is that of its bytes
    manifest.pop("made_by", None)
    return fingerprint([(MANIFEST, hashlib.sha256(_text(manifest).encode()).hexdigest())])


def _inherited(key: str, inputs: Inputs) -> set[str]:
    """What the manifests of `inputs`, or of the folders that hold them, say under `key`."""
    folders = (path if path.is_dir() else path.parent for path in map(Path, inputs))
    return {term for folder in filter(_is_artifact, folders) for term in getattr(read_manifest(folder), key) or ()}


def _is_artifact(folder: Path) -> bool:
    """Whether a folder's manifest is a stage's, damaged or not: others call files of theirs so, too."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            begins = re.match(rb'\{\s*"kind":', file.read(64))
        return begins is not None and "facts" in json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        return isinstance(error, ValueError)


def _text(manifest: Mapping[str, Any]) -> str:
    return to_json(manifest, indent=1, ensure_ascii=False) + "\n"
