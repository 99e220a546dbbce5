"""Size and xxh3 checksum of every file of a checkpoint folder; no file is parsed before its checksum has matched.

Every error says what is damaged or missing, and what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import xxhash

from megatron_speech.artifacts.facts.checkpoint import FileFacts
from megatron_speech.artifacts.files import file_xxh3, read_json, write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.progress import follow

CHECKSUMS = "checksums.json"
STEP = re.compile(r"step_(0|[1-9][0-9]*)")
"""Name of a checkpoint folder: step_<number of steps>."""
Sums = Mapping[str, FileFacts]


def mend(folder: Path) -> str:
    """The remedy at the end of an error message about a damaged checkpoint."""
    if STEP.fullmatch(folder.name):
        return f"restore it from a copy, or move {folder} away to go on from the checkpoint before it"
    return "restore it from a copy, or make it again"


def checksums(paths: Iterable[Path]) -> dict[str, FileFacts]:
    """Size and xxh3-128 of each file, by name."""
    shown = follow(paths, "check files", unit="files", late=True)
    return {path.name: FileFacts(bytes=path.stat().st_size, xxh3=file_xxh3(path)) for path in shown}


def write_checksums(partial: Path, sums: Sums) -> None:
    """Write checksums.json; call it after all other files are written."""
    write_atomic(partial / CHECKSUMS, to_json({name: sums[name].to_json() for name in sorted(sums)}, indent=1) + "\n")


def read_checksums(folder: Path, *, needed: Iterable[str]) -> Sums:
    """Read checksums.json and check its form; ValueError unless it has an entry for each file that is `needed`."""
    require_folder(folder)
    path = folder / CHECKSUMS
    if not path.is_file():
        raise FileNotFoundError(_without_checksums(folder, needed))
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON; {mend(folder)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object: it is damaged; {mend(folder)}")
    sums = {}
    for name, each in content.items():
        try:
            sums[name] = FileFacts.from_json(each)
        except ValueError as error:
            raise ValueError(f"{path}: {name} has no size and sum: it is damaged; {mend(folder)}") from error
        if Path(name).name != name:
            raise ValueError(f"{path} names {name}, which is no file of this folder; do not trust it, {mend(folder)}")
    if bare := sorted(set(needed) - sums.keys()):
        raise ValueError(f"{path} has no checksum of {bare[0]}: one of the two is damaged; {mend(folder)}")
    return sums


def verify_file(path: Path, sums: Sums, *, contents: bool = True) -> None:
    """Compare a file with its size and, if `contents`, its checksum; ValueError if they differ."""
    _require_file(path)
    expected = sums[path.name]
    if path.stat().st_size != expected.bytes or (contents and file_xxh3(path) != expected.xxh3):
        raise ValueError(_differs(path))


def read_verified(path: Path, sums: Sums) -> bytes:
    """The content of a file; ValueError unless it matches its checksum."""
    _require_file(path)
    content = path.read_bytes()
    if xxhash.xxh3_128_hexdigest(content) != sums[path.name].xxh3:
        raise ValueError(_differs(path))
    return content


def require_folder(folder: Path) -> None:
    """Raise FileNotFoundError or ValueError unless `folder` is a folder with files."""
    example = "give a folder such as run/checkpoints/step_100"
    if not folder.exists():
        raise FileNotFoundError(f"checkpoint folder {folder} does not exist; {example}")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file and no checkpoint folder; {example}")
    if not any(folder.iterdir()):
        raise FileNotFoundError(f"checkpoint folder {folder} is empty; {mend(folder)}")


def _without_checksums(folder: Path, needed: Iterable[str]) -> str:
    if (folder / "config.json").is_file():
        mended = "make a checkpoint of it by megatron-speech convert_from_hf, and give that"
        return f"{folder} is a Hugging Face folder; {mended}"
    if any((folder / name).exists() for name in needed):
        return f"checkpoint {folder} has lost {CHECKSUMS}, and its files cannot be trusted without it; {mend(folder)}"
    return f"{folder} holds no {CHECKSUMS}: it is no checkpoint of this project; give one that was saved by it"


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path.parent} has lost {path.name}; {mend(path.parent)}")


def _differs(path: Path) -> str:
    return f"{path} does not match its checksum in {CHECKSUMS}: one of the two is damaged; {mend(path.parent)}"
