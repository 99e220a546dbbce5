"""Every command of every page is read by the program that it starts, and every YAML block by its command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from megatron_speech.commands.main import read_command_line
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.parsing.inputs import named_inputs
from megatron_speech.examples.steps.own_data import FILES
from tests.pages.page import PAGES, ROOT, Page
from tests.pages.shell import require_valid

COMMAND_LINES = [(page, line) for page in PAGES for line in page.commands()]
YAML_BLOCKS = [(page, block.text) for page in PAGES for block in page.blocks if block.language == "yaml"]


@pytest.fixture(autouse=True)
def finished_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root with the files of this one, and with what pages expect a reader to have made."""
    for path in ROOT.iterdir():
        if path.name not in ("runs", ".git"):
            (tmp_path / path.name).symlink_to(path)
    for name in ("t2t/hf", "speech_tokenizer", "packed/interleaved"):
        (tmp_path / "runs/miniature" / name).mkdir(parents=True)
        (tmp_path / "runs/miniature" / name / "manifest.json").write_text("{}")
    for name in FILES:
        (tmp_path / "mydata" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mydata" / name).touch()
    monkeypatch.chdir(tmp_path)


def test_there_are_commands_to_read() -> None:
    assert len(COMMAND_LINES) > 80 and len(YAML_BLOCKS) > 3


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES, ids=str)
def test_a_command_of_a_page_is_understood(page: Page, line: str) -> None:
    require_valid(line)


def test_jobs_start_in_the_root_and_name_paths_from_there() -> None:
    """What a job reads or writes is a run folder, a download, or a file that `sample_data` writes."""
    jobs = [line for _, line in COMMAND_LINES if ".sbatch --config " in line or "stage.sbatch " in line]
    assert len(jobs) > 5
    for line in jobs:
        words = line.split()
        script = next(place for place, word in enumerate(words) if word.endswith((".sbatch", ".py")))
        script += words[script] == "slurm/stage.sbatch"
        config = read_command_line(COMMANDS[Path(words[script]).stem], words[script + 1 :])
        written = getattr(config, "output", None) or config.folder
        for path in [str(written), *(value for _, value, _ in named_inputs(config)), *corpora_of(config)]:
            assert path.startswith(("runs/", ".cache/assets/")) or path in {f"mydata/{name}" for name in FILES}, line


def corpora_of(config: object) -> list[str]:
    """Paths of the corpora that a command reads, if any."""
    return [str(corpus.path) for corpus in getattr(config, "corpora", {}).values()]


def test_a_mistake_is_answered_as_the_page_says() -> None:
    mistakes = [mistake for page in PAGES for mistake in page.mistakes()]
    assert mistakes
    for line, answer in mistakes:
        with pytest.raises(ValueError, match=re.escape(answer.removeprefix("error: "))):
            require_valid(line)


@pytest.mark.parametrize(("page", "text"), YAML_BLOCKS, ids=lambda value: str(value)[:40])
def test_a_yaml_block_fits_its_command(page: Page, text: str, tmp_path: Path) -> None:
    """The first line names the command; a part is laid over the whole file of own_data."""
    match = re.match(r"# (part of )?(\w+)", text)
    assert match and match[2] in COMMANDS, f"{page}: a YAML block begins with the name of its command"
    assert yaml.safe_load(text)
    (tmp_path / "mine.yaml").write_text(text)
    whole = ["--config", f"own_data/{match[2]}"] if match[1] else []
    read_command_line(COMMANDS[match[2]], [*whole, "--config", "mine.yaml"])


@pytest.mark.parametrize(
    "line",
    [
        "megatron-speech pretrian --config own_data/pretrain",
        "megatron-speech pretrain --config own_data/pretrain --model.num_layer 12",
        "megatron-speech pretrain --config run.yaml",
        "python tools/no_such_tool.py",
        "bash examples/miniature/run.sh --minutes 20",
        "sbatch slurm/pretrain.sbatch --config examples/no_such.yaml",
        ".venv/bin/python -m pytest tests/unit/no_such_room",
        "pip install -e '.[no_such_extra]'",
        "rm -rf runs",
    ],
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        require_valid(line)
