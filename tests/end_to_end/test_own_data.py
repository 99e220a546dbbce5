"""The page "Your own data" as it is printed: from the wheel, in an empty folder, to a model that answers and speaks.

The Python of the page runs after the first command, so that its recordings, texts and questions go through all others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

from megatron_speech.examples.run import parse
from tests.installed import environment, start
from tests.pages.page import ROOT, Page

PAGE = Page(ROOT / "examples" / "own_data" / "README.md")
COMMANDS = next(block.lines for block in PAGE.blocks if "sample_data" in block.text)
PYTHON = [block.text for block in PAGE.blocks if block.language == "python"]
SETS = {
    "heldout/mine": "recordings",
    **{f"cloze_recordings/rain-{part}": "evaluation" for part in ("context", "ending")},
    **{f"cloze_recordings/rain-{part}_ending": "evaluation" for part in ("random", "same_topic")},
    "questions_recordings/norway": "evaluation",
    "ada/1": "recordings",
}
"""Recordings that the page's Python names, with their folder."""


def typed(line: str, program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a line of the page does in a shell that has `program`."""
    path = f"{program.parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**environment(), "PATH": path},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def record(data: Path) -> None:
    """Write the recordings that the page's Python expects, as WAV of another sample rate."""
    waveform, rate = soundfile.read(data / "recordings" / "heldout" / "001.flac")
    for name, kind in SETS.items():
        path = data / kind / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, waveform, rate // 2)
    (data / "recordings" / "ada" / "1.txt").write_text("I am Ada.\n")


@pytest.fixture(scope="module")
def place(program: Path, real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all commands of the page ended well."""
    folder = tmp_path_factory.mktemp("somewhere")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "assets").symlink_to(real_assets)
    *examples, row = PYTHON
    for number, line in enumerate(COMMANDS):
        done = typed(line, program, folder)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        (folder / f"{number}.said").write_text(done.stdout)
        if number == 0:
            record(folder / "mydata")
            for text in examples:
                run_python(text, program, folder)
    (folder / "row.said").write_text(run_python(row, program, folder))
    return folder


def run_python(text: str, program: Path, folder: Path) -> str:
    """What Python of the page prints."""
    command = [str(program.with_name("python")), "-c", text]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_and_the_front_page_print_the_same_eight_commands() -> None:
    front = [block.lines for block in Page(ROOT / "README.md").blocks if "sample_data" in block.text]
    assert front == [COMMANDS] and len(COMMANDS) == 8
    parts = [line.split("--part ")[1] for line in COMMANDS if "--part" in line]
    assert len(PYTHON) == 5 and len(parts) == 5


def test_the_model_is_exported_and_evaluated_on_own_sets(place: Path) -> None:
    run = place / "runs" / "own_data_trial"
    assert (run / "hf" / "config.json").is_file()
    facts = json.loads((run / "evaluation_results" / "evaluation.json").read_text())
    assert facts.keys() >= {"cloze", "geo_qa", "held_out"}
    items = [json.loads(line) for line in (run / "evaluation_results" / "items.jsonl").open()]
    asked = {item["item"] for item in items}
    assert {"rain", "Norway"} <= asked and len(asked) == 10


def test_own_voices_and_recordings_are_in_the_audio(place: Path) -> None:
    made = {part: place / "runs" / "own_data_trial" / "audio" / part / "manifest.json" for part in ("train", "heldout")}
    utterances = {part: json.loads(path.read_text())["facts"]["utterances"] for part, path in made.items()}
    assert utterances == {"train": 61, "heldout": 9}


def test_the_model_answers_in_text_and_in_speech(place: Path) -> None:
    assert (place / "6.said").read_text().strip()
    waveform, rate = soundfile.read(place / "answer.wav")
    assert len(waveform) > rate / 20 and abs(waveform).max() > 0
    assert (place / "row.said").read_text().count("\n") >= 1


def test_a_part_is_a_list_of_commands_with_their_files(place: Path, program: Path) -> None:
    listed = start(program, place, "run", "own_data", "--data", "mydata", "--trial", "--list").stdout.splitlines()
    commands = [line for line in listed if line.startswith("megatron-speech ")]
    assert all(" --config own_data/" in line for line in commands)
    assert f"all\n{len(commands)}, ready to paste" in PAGE.text
    assert [line for line in listed if line.startswith("# part ")] == [
        f"# part {line.split('--part ')[1]}" for line in COMMANDS if "--part" in line
    ]


def test_what_is_finished_is_skipped(place: Path, program: Path) -> None:
    done = start(program, place, "run", "own_data", "--data", "mydata", "--trial", "--only", "vocabulary")
    assert done.returncode == 0 and "already" in done.stdout + done.stderr


def refused(line: str, program: Path, folder: Path) -> str:
    """The only line that a mistaken command prints."""
    done = typed(line, program, folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["text/heldout.jsonl", "evaluation/cloze_recordings.jsonl"])
def test_a_file_that_is_missing_is_named(place: Path, program: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(place / "mydata", tmp_path / "mydata")
    (tmp_path / "mydata" / name).unlink()
    said = refused(COMMANDS[1], program, tmp_path)
    assert said == f"error: --data={tmp_path}/mydata holds no {name}; make it, see --help\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (COMMANDS[0], "output=mydata exists already; remove it, or choose another folder"),
        (
            COMMANDS[1].replace("--trial", "--run-dir runs/own_data_trial"),
            "was made with base=none trial=True, not base=none trial=False",
        ),
        (COMMANDS[1].replace("--part speech", "--part sing"), "--part=sing is no part; name one of speech, text_to"),
        (f"{COMMANDS[1]} --only unknown", "--only=unknown is no step; --list names them"),
        (f"{COMMANDS[1]} --base mydata", "mydata is no Hugging Face folder: it holds no config.json; correct the path"),
        (
            COMMANDS[6].replace("/hf", "/pretrain"),
            "runs/own_data_trial/pretrain holds a training run, made by megatron-speech pretrain; give an exported",
        ),
        (COMMANDS[7].replace("trial/speech_tokenizer", "trial/t2t/hf"), "runs/own_data_trial/t2t/hf"),
    ],
)
def test_a_mistake_is_one_line(place: Path, program: Path, line: str, says: str) -> None:
    assert says in refused(line, program, place)


def test_the_steps_with_a_base_are_parsed(place: Path) -> None:
    base = str(place / "runs" / "own_data_trial" / "hf")
    work, _ = parse(["own_data", "--data", str(place / "mydata"), "--base", base])
    tools = {step.name: step for step in work.steps}
    assert tools["base"].overrides["model"] == base and "text-tokenizer" not in tools
    assert tools["pretrain"].settings == "own_data/pretrain_from_base"
