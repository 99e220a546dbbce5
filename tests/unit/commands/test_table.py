"""Every command of the table is whole: its settings, its function, its usual keys and its example."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_speech import progress
from megatron_speech.commands.command import PROGRAM, Command
from megatron_speech.commands.main import chain, quiet_when_nobody_reads, read_command_line, run
from megatron_speech.commands.table import COMMANDS, find
from megatron_speech.config.parsing.help import help_text
from megatron_speech.config.run.model import ModelConfig
from tests.slow_inputs import QUICK, SLOW
from tests.toy_runs import make_base

WITH_SETTINGS = [command for command in COMMANDS.values() if command.settings]


@pytest.mark.parametrize("command", WITH_SETTINGS, ids=lambda command: command.name)
def test_the_example_is_a_command_line_that_parses(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_base(tmp_path / "base", ModelConfig())
    monkeypatch.chdir(tmp_path)
    assert read_command_line(command, shlex.split(re.split(" [<>]", command.example)[0]))


@pytest.mark.parametrize("command", WITH_SETTINGS, ids=lambda command: command.name)
def test_help_shows_usual_keys_then_an_example_then_the_rest(command: Command) -> None:
    lines = help_text(command.schema, command.page).splitlines()
    usual, example, options = (lines.index(head) for head in ("usual keys:", "example:", "options:"))
    assert usual < example < options
    assert [line.split()[0] for line in lines[usual:example] if line.startswith("  --")] == [
        f"--{key}" for key in command.usual
    ]
    assert lines[example + 1] == f"  {PROGRAM} {command.name} {command.example}"
    named = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(named) == len(set(named)), "a key stands twice"


def test_the_map_names_every_command_once_below_its_stage() -> None:
    lines = "\n".join(chain()).splitlines()
    stages = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith((" ", "usage"))]
    assert stages == list(dict.fromkeys(command.stage for command in COMMANDS.values()))
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == list(COMMANDS)
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("pack_shard", "pack_shard: no such command; did you mean 'pack_shards'?"),
        ("pretrian", "pretrian: no such command; did you mean 'pretrain'?"),
        ("sing", "sing: no such command; megatron-speech --help lists them"),
        ("--config", "--config: no such command; megatron-speech --help lists them"),
    ],
)
def test_a_mistyped_verb_is_one_line_with_the_nearest(typed: str, says: str) -> None:
    done = _start(typed)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {says}\n")


def test_a_hyphen_joins_words_as_well() -> None:
    assert find("pack-shards") is COMMANDS["pack_shards"]


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("pack_shards", "{corpora: {a: {path: x}}, vocabulary: v, output: o}", "tokenize_text"),
        ("tokenize_text", "{input: documents, output: packed, seq_length: 8}", "pack_shards"),
        ("evaluate", "{folder: assets, set: ci}", "fetch_assets or unpack_assets"),
    ],
)
def test_a_file_of_another_command_is_told(command: str, words: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(words)
    with pytest.raises(
        ValueError, match=rf"^--config .*x\.yaml: this is a file for {says}, not for {command}; correct"
    ):
        read_command_line(find(command), ["--config", str(tmp_path / "x.yaml"), "--name", "n"])


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "megatron_speech.commands",
        "pretrain",
        "--config",
        "glm4_9b/pretrain",
        "--dry_run",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    missing = {"text", "interleaved", "speech", "recognition", "synthesis", "text-heldout", "interleaved-heldout"}
    assert set(re.findall(r"runs/glm4_9b/packed/([\w-]+)", done.stderr)) == missing


def test_plan_parameters_asks_for_no_more_than_its_example_gives() -> None:
    command = COMMANDS["plan_parameters"]
    usage = help_text(command.schema, command.page).splitlines()[0]
    assert set(re.findall(r"(--\w+) [A-Z]", usage)) - {"--KEY"} <= set(command.example.split()) | {"--config"}


def test_a_mistyped_key_in_a_file_is_no_file_of_another_command(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("{inptu: documents, output: packed}")
    with pytest.raises(ValueError, match=r"inptu: no such key; did you mean 'input'\?"):
        read_command_line(find("pack_shards"), ["--config", str(tmp_path / "x.yaml")])


@pytest.mark.parametrize(
    "line", ["schema pretrain", "--help", "pretrain --help", "run --help", "run own_data --list", "doctor"]
)
def test_a_reader_that_has_gone_is_no_mistake(line: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "megatron_speech.commands", *line.split()]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_a_command_says_that_it_is_loading(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []  # a line may be read in parts

    def load(command: Command) -> Callable[[Any], Any]:
        patience = time.monotonic() + 60
        while "slow: loading ...\n" not in "".join(said) and time.monotonic() < patience:
            said.append(capfd.readouterr().err)
        return lambda config: None

    monkeypatch.setattr(progress, "LATE_S", 0.01)
    monkeypatch.setattr(Command, "load", load)
    schema = "config.inspection.commands:LsConfig"
    run(
        Command(name="slow", summary="", stage="", settings=schema, function="nowhere:nothing", reads=False),
        ["--folder=."],
    )
    assert "slow: loading ...\n" in "".join(said)


def test_a_broken_pipe_of_another_kind_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BrokenPipeError, match="a worker"), quiet_when_nobody_reads():
        raise BrokenPipeError("a worker")


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.settings])
def test_help_without_settings_begins_with_the_whole_command(name: str) -> None:
    done = _start(name, "--help")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(f"usage: megatron-speech {name}")


def test_doctor_takes_no_options() -> None:
    done = _start("doctor", "--fix")
    assert (done.returncode, done.stderr) == (2, "error: --fix: doctor takes no options; leave it out\n")


def test_a_map_a_mistake_and_a_mistyped_verb_load_no_settings_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom megatron_speech.commands.main import main\n"
        "for words in ([], ['--help'], ['pack_shard']):\n"
        "    sys.argv = ['megatron-speech', *words]\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "heavy = {'torch', 'numpy', 'megatron_speech.config.run', 'megatron_speech.config.stages'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def _start(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "megatron_speech.commands", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["miniature/pretrain", "paper"])
def test_a_name_finds_an_example_of_the_package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_base(tmp_path / "base", ModelConfig())
    monkeypatch.chdir(tmp_path)
    assert read_command_line(find("plan_mixture"), ["--config", name])


def test_a_file_at_the_path_comes_before_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("assets").write_text("{input: documents, output: packed}")
    assert read_command_line(find("pack_shards"), ["--config", "assets"]).input == Path("documents")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("miniature/pretrian", "no such file, and no example of this name; did you mean 'miniature/pretrain'?"),
        ("text_token", "no such file, and no example of this name; did you mean 'text_tokens'?"),
        ("zzz", "no such file, and no example of this name; correct the path"),
        (
            "pretrain",
            "5 examples have this name; choose claim/pretrain or glm4_9b/pretrain or miniature/pretrain or "
            "own_data/pretrain or precision/pretrain",
        ),
        ("miniature/pretrain.yaml", "no such file; correct the path"),
        ("./miniature/pretrain", "no such file; correct the path"),
        ("folder", "is a folder; give a YAML file"),
    ],
)
def test_a_name_that_is_no_example_is_one_line(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises((ValueError, FileNotFoundError)) as told:
        read_command_line(find("pretrain"), ["--config", name])
    assert str(told.value).startswith(f"--config {name}: ") and str(told.value).endswith(says)


def test_every_command_is_slow_or_has_a_reason_not_to_be() -> None:
    assert sorted([*SLOW, *QUICK]) == sorted(COMMANDS)


def test_commands_that_count_nothing_are_told_by_the_command_line() -> None:
    by_name = {name for name, slow in SLOW.items() if slow.part == COMMANDS[name].function}
    assert by_name == {name for name, command in COMMANDS.items() if command.heartbeat}
