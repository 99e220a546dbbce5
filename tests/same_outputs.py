#!/usr/bin/env python
"""Compares two finished run folders: equal settings and seeds must give equal bytes. The last line is JSON.

    python tests/same_outputs.py FIRST SECOND

Both are folders of examples/miniature/run.sh, made by one or two revisions of the code. All files are compared, except
those that depend on time, place or machine (`SKIPPED`). JSON and YAML are compared without `CLOCKS`, `made_by` and
absolute paths. The exit status is 1 for a difference, and 2 if there is nothing to compare.

torch writes a random number into the index of a checkpoint, so its identity differs in every run. Identities of all
that is made from it differ, too: manifests, metadata of interleaved documents, checksums, plans. Before two files are
compared, identities of the first run are replaced by those of the second. Their contents are compared as well.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from megatron_speech.artifacts.files import read_json
from megatron_speech.artifacts.manifest import MANIFEST, input_ids
from megatron_speech.artifacts.plain_json import first_difference
from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.data.shards.sidecar import ShardIndex
from megatron_speech.storage.interface import FOLDER_INDEX

KINDS = {
    "codes": ("*codes*/*.tar", "*codes*/*.mspx", "*codes*/shards.json"),
    "shards": ("*.tar", "*.mspx", "shards.json", "*/shards.json"),
    "plans": ("plan*.json", "*/plan*.json"),
    "journals": ("*.journal",),
    "exports": ("*.safetensors", "*.safetensors.index.json"),
    "checkpoints": ("*/checkpoints/*", "checkpoints/*"),
    "metrics": ("*metrics.jsonl", "*validation.jsonl", "*done.json"),
    "manifests": ("*manifest.json",),
    "sounds": ("*.wav",),
    "others": ("*",),
}
"""Kinds of files, with patterns of paths inside the run folder; the first kind that matches counts."""
SKIPPED = (
    "logs/*",
    "*/logs/*",
    "*tensorboard/*",
    "*timings.json*",
    "*command.txt",
    "*environment.txt",
    "*.md",
    "*.png",
    "*checkpoints/*/.metadata",
    "*checkpoints/*/checksums.json",
    "*.lock",
)
"""Files that depend on time, place or machine, and reports, which are made from files that are compared."""
CLOCKS = frozenset(
    ("tokens_per_s", "speech_per_second", "stalled_s", "read_ms_p50", "read_ms_p99", "cpu_seconds", "real_time_factor")
)
"""Keys of JSON objects that hold measured times, or rates."""
_HASH = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])")


@dataclass
class Comparison:
    """Numbers of compared files, and the differences."""

    compared: Counter[str] = field(default_factory=Counter)
    """Number of compared files by kind."""
    differences: list[tuple[str, str]] = field(default_factory=list)
    """(kind, sentence that names the file) per difference."""
    skipped: int = 0
    """Number of files of the first folder that match `SKIPPED`."""

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON types."""
        different = Counter(kind for kind, _ in self.differences)
        kinds = {kind: {"compared": count, "different": different[kind]} for kind, count in self.compared.items()}
        return {"name": "same_outputs", "same": not self.differences, "skipped": self.skipped, "kinds": kinds}


def main() -> None:
    """Print the differences by kind, and one JSON line; exit with status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="run folder")
    parser.add_argument("second", type=Path, help="another one, of the same settings")
    folders = parser.parse_args()
    try:
        found = compare(folders.first, folders.second)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")
    result = found.to_json()
    for kind, counts in result["kinds"].items():
        print(f"{kind}: {counts['compared'] - counts['different']} of {counts['compared']} files are the same")
        for sentence in (sentence for of_kind, sentence in found.differences if of_kind == kind):
            print(f"  {sentence}")
    print(json.dumps(result))
    raise SystemExit(0 if result["same"] else 1)


def compare(first: Path, second: Path) -> Comparison:
    """Compare all files of two folders. Raises ValueError or FileNotFoundError if there is nothing to compare."""
    names = [_files(folder) for folder in (first, second)]
    found = Comparison(skipped=sum(map(_is_skipped, names[0])))
    translate = _translation(_identities(first, names[0]), _identities(second, names[1]))
    for name in sorted({*names[0], *names[1]}):
        if _is_skipped(name):
            continue
        kind = next(kind for kind, patterns in KINDS.items() if any(fnmatch(name, each) for each in patterns))
        found.compared[kind] += 1
        if name not in names[0] or name not in names[1]:
            found.differences.append((kind, f"{name}: only in {second if name in names[1] else first}"))
        elif difference := _difference(first / name, second / name, translate):
            found.differences.append((kind, f"{name}: {difference}"))
    return found


def _files(folder: Path) -> list[str]:
    """Paths of all files inside a run folder, without links such as the one to the assets."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder of a finished run")
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = [str(path.relative_to(folder)) for path in paths]
    unfinished = [name for name in names if ".partial/" in name]
    if unfinished:
        raise ValueError(f"{folder / unfinished[0]} belongs to an unfinished step; finish the run first")
    if all(map(_is_skipped, names)):
        raise ValueError(f"{folder} has no file to compare; give the folder of a finished run")
    return names


def _is_skipped(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in SKIPPED)


def _difference(first: Path, second: Path, translate: Callable[[bytes], bytes]) -> str:
    """A description of the difference of two files; empty if they are the same."""
    if filecmp.cmp(first, second, shallow=False):
        return ""
    one, other = first.read_bytes(), second.read_bytes()
    if first.suffix == ".mspx":
        return _index_difference(first, second)
    if first.suffix == ".journal":
        return _journal_difference(one, other, translate)
    if first.suffix in (".json", ".jsonl", ".yaml"):
        return _value_difference(one, other, translate)
    one = translate(one)
    if one == other:
        return ""
    if len(one) != len(other):
        return f"{len(one)} bytes, {len(other)} bytes"
    return f"byte {next(at for at in range(len(one)) if one[at] != other[at])}"


def _value_difference(one: bytes, other: bytes, translate: Callable[[bytes], bytes]) -> str:
    """The first key that differs, in JSON, JSON lines or YAML."""
    try:
        values, others = (_plain(_documents(content)) for content in (translate(one), other))
    except (ValueError, yaml.YAMLError):
        return "unreadable, and other bytes" if translate(one) != other else ""
    return "" if values == others else first_difference(values, others)


def _documents(content: bytes) -> dict[str, Any]:
    """Parsed documents: lines of JSON by line number, or the whole file under the key ""."""
    lines = content.splitlines()
    if all(line.startswith(b"{") for line in lines):
        return {f"line {number}": json.loads(line) for number, line in enumerate(lines, 1)}
    return {"": json.loads(content) if content.startswith((b"{", b"[")) else yaml.safe_load(content)}


def _plain(value: Any) -> Any:
    """`value` without `CLOCKS` and `made_by`, and with absolute paths cut to their names.

    Lists become mappings, so that every difference has a key.
    """
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in CLOCKS and key != "made_by"}
        return {_plain(key): _plain(each) for key, each in kept.items()}
    if isinstance(value, list):
        return {str(number): _plain(each) for number, each in enumerate(value)}
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def _index_difference(first: Path, second: Path) -> str:
    """The first difference of two sidecars, without checksums of members, because tars are compared as well."""
    try:
        one, other = (ShardIndex.load(path.parent, f"{path.stem}.tar") for path in (first, second))
    except ValueError as error:
        return str(error)
    for key in ("kind", "vocabulary", "seq_length", "num_bytes", "names"):
        if getattr(one, key) != getattr(other, key):
            return f"{key}: {getattr(one, key)} -> {getattr(other, key)}"
    if one.blocks.tobytes() != other.blocks.tobytes():
        return "other counts of blocks"
    places = [[index.members[key].tolist() for key in ("offset", "size")] for index in (one, other)]
    return "" if places[0] == places[1] else "other places of members"


def _journal_difference(one: bytes, other: bytes, translate: Callable[[bytes], bytes]) -> str:
    """The first line that differs. The checksum of a line may differ if an identity in it does."""
    lines, others = one.splitlines(), other.splitlines()
    for number, (line, another) in enumerate(zip(lines, others, strict=False), 1):
        body, other_body = (each.partition(b" ")[2] for each in (line, another))
        if translate(body) != other_body or (body == other_body and line != another):
            return f"line {number}"
    return "" if len(lines) == len(others) else f"{len(lines)} lines, {len(others)} lines"


def _identities(folder: Path, names: list[str]) -> dict[str, str]:
    """Identities (hashes) of files and artifacts of a run, by what they identify."""
    return {what: value for name in names for what, value in _identities_of(folder / name, name)}


def _identities_of(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yields (identified thing, hash) of one file; nothing for a file that contradicts its own checksum."""
    try:
        if path.name in (MANIFEST, "checksums.json"):
            identified = path.parent if path.name == MANIFEST else path
            yield name, input_ids([identified])[str(identified)]
        elif path.name == FOLDER_INDEX:
            yield f"{name} content", FolderIndex.load(path.parent).checksum
            yield name, read_json(path)["checksum"]
        elif path.suffix == ".mspx":
            yield name, ShardIndex.load(path.parent, f"{path.stem}.tar").checksum
        elif fnmatch(path.name, "plan*.json"):
            yield name, Plan.from_json(read_json(path)).fingerprint
    except (KeyError, TypeError, ValueError):  # damaged: the comparison of the file says so
        return


def _translation(first: dict[str, str], second: dict[str, str]) -> Callable[[bytes], bytes]:
    """A function that replaces hashes of the first run by those of the second, in full or as 16 digits."""
    pairs: dict[bytes, bytes] = {}
    for what in first.keys() & second.keys():
        one, other = first[what].encode(), second[what].encode()
        if one != other and len(one) == len(other):
            pairs[one], pairs[one[:16]] = other, other[:16]
    return lambda content: _HASH.sub(lambda match: pairs.get(match[0], match[0]), content) if pairs else content


if __name__ == "__main__":
    main()
