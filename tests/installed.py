"""Builds the wheel and sdist of this checkout, and an environment that has nothing else of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(kind: str, source: Path, output: Path) -> Path:
    """Build the wheel or sdist of `source` as pip would, with the setuptools that is installed."""
    output.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, kind, str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=True)
    assert "Package would be ignored" not in done.stdout + done.stderr
    return output / done.stdout.splitlines()[-1]


def build_both(folder: Path) -> tuple[Path, Path]:
    """The sdist of a copy of this checkout, and the wheel that is built from what lies in the sdist."""
    folders = ("megatron_speech", "examples", "slurm", "tests", "tools")
    files = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGES.md", "CITATION.cff", "CONTRIBUTING.md")
    (folder / "copy").mkdir()
    for part in folders + files:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, folder / "copy" / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / part, folder / "copy" / part)
    sdist = build("build_sdist", folder / "copy", folder / "dist")
    with tarfile.open(sdist) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    return sdist, build("build_wheel", source, folder / "dist")


def install(wheel: Path, folder: Path) -> Path:
    """`megatron-speech` of a new environment that has the wheel, and the libraries of this one, but no checkout."""
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", "--ignore-installed", "--disable-pip-version-check", str(wheel)]
    subprocess.run(command, timeout=300, check=True, env=environment())
    return folder / "bin" / "megatron-speech"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def start(program: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *words]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
