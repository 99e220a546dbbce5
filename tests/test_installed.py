"""From the built wheel alone, in an empty folder: commands, their help, and examples by name."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.installed import start

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))


def test_the_wheel_holds_the_package_its_tables_and_the_yaml_of_the_examples_alone(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "megatron-speech = megatron_speech.commands.main:main" in points
    examples = {f"megatron_speech/examples.d/{path.relative_to(ROOT / 'examples')}" for path in EXAMPLES}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "megatron_speech").rglob("*.py")}
    others = [path for path in (ROOT / "megatron_speech").rglob("*") if path.suffix in {".csv", ".json", ".yaml"}]
    tables = {str(path.relative_to(ROOT)) for path in others if "examples.d" not in path.parts}
    assert len(examples) > 50
    assert {name for name in names if ".dist-info/" not in name} == examples | modules | tables


def test_the_source_distribution_holds_every_page_that_pages_link_to(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    folders = ("megatron_speech", "examples", "slurm", "tests", "tools")
    pages = {str(page.relative_to(ROOT)) for folder in folders for page in (ROOT / folder).rglob("*.md")}
    wanted = pages | {"README.md", "CHANGES.md", "CITATION.cff", "CONTRIBUTING.md"}
    assert len(wanted) > 15 and wanted <= names, sorted(wanted - names)


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
        (["run", "own-daata"], "own-daata is no example; did you mean 'own_data'?"),
        (["run", "glm4_9b"], "slurm/pretrain.sbatch does not exist; run this from the root of a checkout"),
        (["run", "own_data", "--data", "."], "--data={here} holds no text/train.jsonl; make it, see --help"),
        (["run", "mixture", "--part", "all"], "--part is not an option; see --help"),
        (["pack_shards", "--config", "miniature/pack_text"], "input=documents/text does not exist; "),
    ],
)
def test_a_mistake_is_one_line(program: Path, tmp_path: Path, words: list[str], says: str) -> None:
    done = start(program, tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"error: {says.format(here=tmp_path)}")
