"""Parses a line of a shell block as the program that it starts would, without running it."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from itertools import takewhile
from pathlib import Path

from megatron_speech.commands.launch import for_torchrun
from megatron_speech.commands.main import read_command_line
from megatron_speech.commands.table import find
from megatron_speech.examples.run import parse as parse_example
from tests.pages.page import FOLDERS, ROOT

JOBS = {"pretrain": "pretrain", "train_speech_tokenizer": "train_speech_tokenizer"}
"""Commands of the job scripts that take only settings; `stage.sbatch` takes a script first."""
HARNESS = "megatron_speech.lm_evaluation"
OTHERS = (
    *(
        "aplay",
        "arecord",
        "cat",
        "cd",
        "cp",
        "curl",
        "echo",
        "export",
        "git",
        "head",
        "hf",
        "ls",
        "mkdir",
        "mv",
        "scancel",
        "scontrol",
    ),
    *("set", "source", "squeue", "srun", "tail", "tensorboard", "wget", "apptainer", "python3", "sbatch", "sudo"),
)
"""Programs of others: only the files of ours that they name are looked at."""


def require_valid(line: str, root: Path = ROOT) -> None:
    """Raise ValueError or FileNotFoundError if a line of a page cannot be meant."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|<>&;") and word:
            if command and command[0] not in ("<", ">"):
                _require_program(command)
            command = [word[0]] if word[0] in "<>" else []
        elif command and command[0] in ("<", ">"):
            command = []  # the file of a redirection
        else:
            command.append(word)


def _require_program(words: list[str]) -> None:
    words = words[len(list(takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))) :]
    if not words:
        return
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "megatron-speech":
        _require_command(rest)
    elif program == "python" and rest[0].startswith("tools/"):
        _require_command([_of_script(rest[0]), *rest[1:]])
    elif program == "python" and rest[:2] == ["-m", "pytest"]:
        _require_tests(rest[2:])
    elif program == "python" and rest[:2] == ["-m", HARNESS]:
        _require_model_arguments(rest[2:])
    elif program in ("pip", "python") and "install" in rest:
        _require_extras(rest)
    elif program == "python" and rest[0].startswith("tests/benchmarks/"):
        _require_options(ROOT / rest[0], rest[1:])
    elif program == "bash":
        _require_script(rest)
    elif program == "sbatch":
        script = next(place for place, word in enumerate(rest) if word.endswith(".sbatch"))
        _require_job(Path(rest[script]), rest[script + 1 :])
    elif program not in OTHERS:
        raise ValueError(f"{program}: no program that the pages may start")
    made = words[-1:] if program in ("cp", "mv") else []
    for word in words:
        if (
            word not in made
            and word.split("/")[0] in FOLDERS
            and "/" in word
            and not (ROOT / word.split("::")[0]).exists()
        ):
            raise FileNotFoundError(word)


def _require_command(words: list[str]) -> None:
    """Read the settings of a command; the folders that they name need not exist."""
    if words[:1] == ["--help"]:
        return
    command, rest = find(words[0]), words[1:]
    if rest in (["--help"], ["--print_config"]):
        return
    if command.name == "launch":
        started = for_torchrun(rest)
        if HARNESS in started:
            return _require_model_arguments(started[started.index(HARNESS) + 1 :])
        verb = started[started.index("-m") + 1 :][1:] if "-m" in started else [_of_script(started[_script(started)])]
        if "-m" not in started:
            verb += started[_script(started) + 1 :]
        return _require_command(verb)
    if command.name == "run":
        parse_example(rest)
        return None
    if not command.settings:
        if rest:
            raise ValueError(f"{command.name}: takes no options")
        return None
    read_command_line(command, [word for word in rest if word != "--print_config"])


def _script(words: list[str]) -> int:
    return next(place for place, word in enumerate(words) if word.endswith(".py"))


def _of_script(path: str) -> str:
    if not (ROOT / path).is_file():
        raise FileNotFoundError(path)
    return Path(path).stem


def _require_script(words: list[str]) -> None:
    path = Path(words[0])
    if path.parts[0] == "examples" and path.name == "run.sh":
        if "--help" not in words:
            parse_example([path.parent.name, *words[1:]])
    elif path.suffix == ".sbatch":
        _require_job(path, words[1:])
    elif not (ROOT / path).is_file():
        raise FileNotFoundError(words[0])


def _require_job(path: Path, words: list[str]) -> None:
    if not (ROOT / path).is_file():
        raise FileNotFoundError(str(path))
    if path.stem == "stage":
        path, words = Path(_of_script(words[0])), words[1:]
    _require_command([path.stem, *words])


def _require_tests(words: list[str]) -> None:
    for word in words:
        name, _, test = word.partition("::")
        if name.startswith("tests/") and test and f"def {test}(" not in (ROOT / name).read_text():
            raise ValueError(f"{name} holds no {test}")


def _require_extras(words: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        if unknown := set(extras.split(",")) - set(known):
            raise ValueError(f"pyproject.toml knows no extra {sorted(unknown)[0]}")


def _require_model_arguments(words: list[str]) -> None:
    """Read what a line of lm-evaluation-harness says of our model; the harness itself need not be installed."""
    tree = ast.parse((ROOT / "megatron_speech" / "lm_evaluation" / "adapter.py").read_text())
    (start,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    known = {argument.arg for argument in start.args.kwonlyargs} - {"network"}
    given = words[words.index("--model_args") + 1]
    if unknown := {pair.partition("=")[0] for pair in given.split(",")} - known:
        raise ValueError(f"model_args: {sorted(unknown)[0]} is none of {', '.join(sorted(known))}")
    if words[:1] != ["run"] or words[words.index("--model") + 1] != "megatron_speech":
        raise ValueError(f"{HARNESS}: begins with run, and names --model megatron_speech")


def _require_options(path: Path, words: list[str]) -> None:
    for word in words:
        if word.startswith("--") and f'"{word}"' not in path.read_text():
            raise ValueError(f"{path.name} has no option {word}")
