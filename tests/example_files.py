"""The YAML files under examples/, and which tool reads which."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/run.sh"))


YAMLS = sorted((ROOT / "examples").rglob("*.yaml"))


def tools_by_yaml() -> dict[Path, str]:
    """Which tool reads which file, by every run.sh: `run` or `train NAME TOOL YAML ...`, `train NAME FILE ...`."""
    found: dict[Path, str] = {}
    for folder in FOLDERS:
        for line in expanded((folder / "run.sh").read_text()):
            if match := re.match(r"\s*(?:run|train) \S+ (\w+) (\w+)", line):
                found[folder / f"{match[2]}.yaml"] = match[1]
            elif match := re.match(r"\s*train \S+ (\S+\.yaml)", line):
                found[folder / match[1]] = "pretrain"
            found |= {folder / name: "pretrain" for name in re.findall(r"pretrain_yaml=(\S+\.yaml)", line)}
    return found


def expanded(script: str) -> list[str]:
    """Lines of a shell script, those of a one-level `for NAME in A B; do ... done` repeated with $NAME filled in."""
    lines: list[str] = []
    loop: tuple[str, list[str]] | None = None
    for line in script.replace("\\\n", " ").splitlines():
        line = line.replace('"', "")
        if match := re.match(r"for (\w+) in (.*); do", line):
            loop = (match[1], match[2].split())
        elif line == "done":
            loop = None
        elif loop is None:
            lines.append(line)
        else:
            lines += [line.replace(f"${{{loop[0]}}}", value).replace(f"${loop[0]}", value) for value in loop[1]]
    return lines


def overrides(tool: str, path: Path) -> list[str]:
    """Keys that run.sh adds on the command line for every use of the file and that have no default."""
    needed = {"codes.yaml": ["--audio", "audio/train", "--output", "codes/train"], "assets.yaml": ["--set", "ci"]}
    return needed.get(path.name, [])
