"""Lists what lies below a folder: artifacts and run folders, whole, begun or damaged, and what they were made from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.manifest import MANIFEST, MARKER, PARTIAL, read_manifest
from megatron_speech.config.inspection.commands import LsConfig
from megatron_speech.config.parsing.yaml_text import read_yaml
from megatron_speech.progress import follow

# As `training.run_folder` and `artifacts.tasks` name them; importing those would load torch.
CONFIG, PLAN, DONE, SAVED = "config.yaml", "plan.json", "done.json", "saved.json"
PARTS = ".tasks"
_WIDTH = 60


@dataclass(frozen=True)
class Entry:
    """A line of the list."""

    folder: str
    """Relative to the folder that is listed."""
    kind: str
    state: str
    """"complete", "partial", or "damaged", with what is left or wrong."""
    bytes: int
    made: str
    """Local time of the newest file that says what the folder is."""
    inputs: list[str]


def ls(config: LsConfig) -> None:
    """Print a table or JSON of all artifacts and run folders below a folder."""
    found = list(follow(entries(config.folder), f"ls {config.folder}", unit="folders", late=True))
    if config.json:
        print(json.dumps([asdict(entry) for entry in found], indent=1, ensure_ascii=False))
    elif found:
        print("\n".join(table(found)))
    else:
        print(f"{config.folder}: no artifact and no run folder lies below it")


def entries(root: Path) -> Iterator[Entry]:
    """Yield an entry for every artifact and run folder at or below `root`, sorted; none is searched for others."""
    for place, folders, files in os.walk(root):
        folder = Path(place)
        sign = _sign(folder, set(files))
        if sign is None:
            folders.sort()
            continue
        folders.clear()
        kind, state, inputs = _examine(folder, sign)
        made = datetime.fromtimestamp((folder / sign).lstat().st_mtime).isoformat(" ", "minutes")
        name = str(folder.relative_to(root))
        yield Entry(folder=name, kind=kind, state=state, bytes=_size(folder), made=made, inputs=inputs)


def _sign(folder: Path, files: set[str]) -> str | None:
    """File, or the folder itself, that shows what `folder` is; None if it is neither artifact nor run folder."""
    if folder.name.endswith(PARTS):
        return "."
    if {CONFIG, PLAN} <= files:
        return DONE if DONE in files else PLAN
    marker = MARKER if folder.name.endswith(PARTIAL) else MANIFEST
    return marker if marker in files else None


def _examine(folder: Path, sign: str) -> tuple[str, str, list[str]]:
    """Kind, state and inputs of a folder that was recognised by the file `sign`."""
    try:
        if sign == ".":
            done = sum(1 for _ in folder.glob(f"*/{MANIFEST}"))
            return "parts", f"partial: {done} parts are made", []
        if sign == MANIFEST:
            manifest = read_manifest(folder)
            lost = [name for name in _shards(folder, manifest.facts) if not (folder / name).is_file()]
            state = f"damaged: {lost[0]} is missing" if lost else "complete"
            return manifest.kind, state, list(manifest.inputs or {})
        if sign == MARKER:
            marker = json.loads((folder / MARKER).read_text())
            return str(marker["kind"]), "partial", list(marker["inputs"])
        return "run", _progress(folder, sign), _read_by_run(folder)
    except (ValueError, KeyError, TypeError) as error:
        return "run" if sign in (DONE, PLAN) else "?", f"damaged: {_first_words(error)}", []


def _shards(folder: Path, facts: dict[str, Any]) -> list[str]:
    """Names of the shards that an artifact must hold."""
    listed = facts.get("shards")
    if isinstance(listed, int):  # token shards, whose list is a file of its own
        listed = json.loads((folder / "shards.json").read_text())["content"]["shards"]
    return [shard["name"] for shard in listed or []]


def _progress(folder: Path, sign: str) -> str:
    if sign == DONE:
        json.loads((folder / DONE).read_text())["steps"]
        return "complete"
    saved = folder / SAVED
    return f"partial: step {json.loads(saved.read_text())['step']} is saved" if saved.is_file() else "partial"


def _read_by_run(folder: Path) -> list[str]:
    """Base and sources of a training run."""
    config = read_yaml((folder / CONFIG).read_text())
    return [config["model"]["base"], *(source["folder"] for source in config["data"]["sources"].values())]


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:_WIDTH]


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; links count as themselves."""
    return sum((Path(place) / file).lstat().st_size for place, _, files in os.walk(folder) for file in files)


def table(found: list[Entry]) -> Iterator[str]:
    """Yield a header and a line per entry, in columns."""
    rows = [("folder", "kind", "size", "made", "state", "from")]
    rows += [(e.folder, e.kind, readable(e.bytes), e.made, e.state, _short(e.inputs)) for e in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _short(inputs: list[str]) -> str:
    """First inputs as far as they fit, and the number of the rest."""
    text = ", ".join(inputs)
    shown = inputs
    while len(text) > _WIDTH and len(shown) > 1:
        shown = shown[:-1]
        text = f"{', '.join(shown)} and {len(inputs) - len(shown)} more"
    return text


def readable(size: int) -> str:
    """Write a number of bytes with three digits and a unit."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
