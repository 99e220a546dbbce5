"""From the built wheel alone, in an empty folder: commands, their help, and examples by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(kind: str, source: Path, output: Path) -> Path:
    """Build the wheel or sdist of `source` as pip would, with the setuptools that is installed."""
    output.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, kind, str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=True)
    assert "Package would be ignored" not in done.stdout + done.stderr
    return output / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of a copy of this checkout, and the wheel that is built from what lies in the sdist."""
    folder = tmp_path_factory.mktemp("built")
    parts = ("megatron_speech", "examples", "slurm", "tools", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
    (folder / "copy").mkdir()
    for part in parts:
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


@pytest.fixture(scope="module")
def program(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`megatron-speech` of an environment that has the wheel, and the libraries of this one, but no checkout."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", "--ignore-installed", "--disable-pip-version-check", str(built[1])]
    subprocess.run(command, timeout=300, check=True, env=environment())
    return folder / "bin" / "megatron-speech"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def start(program: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *words]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


def test_the_wheel_holds_the_package_and_the_yaml_of_the_examples_alone(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "megatron-speech = megatron_speech.commands.main:main" in points
    examples = {f"megatron_speech/examples.d/{path.relative_to(ROOT / 'examples')}" for path in EXAMPLES}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "megatron_speech").rglob("*.py")}
    assert len(examples) > 50
    assert {name for name in names if ".dist-info/" not in name} == examples | modules


def test_the_source_distribution_holds_examples_slurm_and_tools(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    for folder in ("examples", "slurm", "tools"):
        files = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        wanted = {file for file in files if "__pycache__" not in file}
        assert len(wanted) > 5 and wanted <= names, sorted(wanted - names)


def test_commands_run_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    place = start(program.with_name("python"), tmp_path, "-c", "import megatron_speech as m; print(m.__file__)")
    assert place.stdout.startswith(str(program.parents[1])), place.stdout + place.stderr
    shown = start(program, tmp_path, "--help")
    assert shown.returncode == 0 and "tokenize_text" in shown.stdout and not shown.stderr
    shown = start(program, tmp_path, "tokenize_text", "--help")
    assert shown.stdout.startswith("usage: megatron-speech tokenize_text [--config FILE ...]")
    assert start(program, tmp_path, "ls", ".").stdout == ".: no artifact and no run folder lies below it\n"
    assert not list(tmp_path.iterdir())


def test_an_example_is_found_by_its_name(program: Path, tmp_path: Path) -> None:
    planned = start(program, tmp_path, "plan_mixture", "--config", "mixture/paper")
    assert planned.returncode == 0 and "interleaved" in planned.stdout, planned.stderr
    printed = start(program, tmp_path, "pretrain", "--config", "precision/pretrain", "--print_config")
    (tmp_path / "run.yaml").write_text(printed.stdout)
    again = start(program, tmp_path, "pretrain", "--config", "run.yaml", "--print_config")
    assert "hidden_size: 256" in printed.stdout and again.stdout == printed.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pretrian"], "pretrian: no such command; did you mean 'pretrain'?"),
        (
            ["pretrain", "--config", "miniature/pretrian"],
            "--config miniature/pretrian: no such file, and no example of this name; "
            "did you mean 'miniature/pretrain'?",
        ),
        (
            ["pretrain", "--config", "miniature/pack_text"],
            "--config miniature/pack_text: this is a file for pack_shards, not for pretrain; "
            "correct the path or the command",
        ),
        (["pack_shards", "--config", "miniature/pack_text"], "documents/text does not exist; correct the path, or run"),
    ],
)
def test_a_mistake_is_one_line(program: Path, tmp_path: Path, words: list[str], says: str) -> None:
    done = start(program, tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"error: {says}")
