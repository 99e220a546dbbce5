"""The examples' runner with a fake python that only records commands: output, logs, skipped steps, refusals."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from megatron_speech.examples.runner.progress import Clock, duration
from megatron_speech.examples.steps.own_data import FILES, PARTS
from megatron_speech.examples.table import EXAMPLES
from tests import example_runs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = example_runs.make_root(tmp_path)
    for name in ("t2t/hf", "speech_tokenizer", "vocabulary", "packed/interleaved"):
        (root / "made" / name).mkdir(parents=True)
        (root / "made" / name / "manifest.json").write_text("{}")
    return root


def miniature(root: Path, *words: str, fail: str = "") -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """The miniature with one step done, so that it does not measure the machine."""
    folder = root / "runs" / "miniature"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "timings.jsonl").exists():
        (folder / "timings.jsonl").write_text('{"step": "corpus", "seconds": 4.0}\n')
    return example_runs.run(root, "miniature", *words, fail=fail)


def test_every_step_says_its_number_the_time_so_far_and_what_is_left(root: Path) -> None:
    done, commands = miniature(root, "--budget-minutes", "8")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert lines[0].startswith("== fetch (1 of 53; 0 s so far, about 1") and lines[0].endswith(" min left)")
    assert re.fullmatch(r"== report \(53 of 53; \d+ s so far, about 0 s left\)", lines[-1])
    assert len(commands) == len(lines) == 53
    assert done.stdout.splitlines()[-1] == f"report: {root}/runs/miniature/report.md"


def test_what_a_step_says_is_shown_and_kept(root: Path) -> None:
    done, _ = miniature(root)
    folder = root / "runs" / "miniature"
    assert "this is speak_corpus" in done.stdout and "threads: 2" in done.stderr
    assert (folder / "logs" / "audio-train.log").read_text() == "this is speak_corpus\n"
    assert (folder / "logs" / "audio-train.err").read_text() == "threads: 2\n"
    assert (folder / "logs" / "pretrain-first-half.err").read_text() == "threads: 1\n"
    timings = [json.loads(line) for line in (folder / "timings.jsonl").read_text().splitlines()]
    assert len(timings) == 54 and set(timings[-1]) == {"step", "seconds"}
    assert (folder / "settings.txt").read_text() == "budget_minutes=20 assets=full pretrain=pretrain.yaml\n"
    assert (folder / "assets").resolve() == root / ".cache" / "assets"


def test_a_failed_step_is_one_line_with_its_logs(root: Path) -> None:
    done, commands = miniature(root, fail="train_speech_tokenizer")
    log = root / "runs" / "miniature" / "logs" / "tokenizer"
    assert done.returncode == 2 and commands[-1][0] == "train_speech_tokenizer"
    assert done.stderr.splitlines()[-1] == (
        f"error: step tokenizer failed; its output is in {log}.log and .err; mend the cause and repeat the command"
    )
    assert "no luck" in Path(f"{log}.err").read_text()
    assert '"tokenizer"' not in (root / "runs" / "miniature" / "timings.jsonl").read_text()


def test_a_step_that_fails_names_what_was_left_out(root: Path) -> None:
    done, _ = miniature(root, "--only", "pretrain-first-half", fail="pretrain")
    assert "; step fetch before it has not ended here yet, so run --from fetch first; else mend" in done.stderr


def test_the_parts_of_an_example_that_come_before_are_named(root: Path) -> None:
    data = root / "mydata"
    for name in ("text/train", "text/heldout", "recordings/train", "recordings/heldout"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / f"{name}.jsonl").touch()
    done, _ = example_runs.run(root, "own_data", "--data", str(data), "--part", "pretrain", fail="pretrain")
    assert "; step fetch before it has not ended here yet, so run --part speech first; else mend" in done.stderr


def test_a_folder_is_of_one_budget(root: Path) -> None:
    miniature(root, "--only", "report")
    done, commands = miniature(root, "--budget-minutes", "8")
    assert (done.returncode, commands) == (2, [])
    assert "was made with budget_minutes=20 assets=full pretrain=pretrain.yaml, not budget_minutes=8" in done.stderr


def test_what_ended_is_not_begun_again(root: Path) -> None:
    (root / "runs" / "miniature" / "pretrain").mkdir(parents=True)
    (root / "runs" / "miniature" / "pretrain" / "done.json").write_text("{}")
    done, commands = miniature(root)
    assert len(re.findall(r"== pretrain-\w+-half \(.*\): done", done.stdout)) == 2
    assert not [words for words in commands if words[0] == "pretrain"]


def test_one_step_alone_and_the_steps_from_one_on(root: Path) -> None:
    assert [words[0] for words in miniature(root, "--only", "decode")[1]] == ["decode_speech"]
    assert [words[0] for words in miniature(root, "--from", "speech-decoder")[1]] == [
        "train_speech_decoder",
        "decode_speech",
        "report",
    ]


SCRATCH = ["--model.base", "scratch"]
LISTS = [
    *(["miniature", "--budget-minutes", budget, *base] for budget in ("8", "20", "90") for base in ([], SCRATCH)),
    ["interleave", "--miniature", "made"],
    ["speech_tokenizer", "--rows", "base one_voice"],
    ["text_to_token", "--tokenizer", "made/speech_tokenizer", "--rows", "hours_1 letters_16"],
    ["precision", "made/packed", "--steps", "30"],
    ["mixture"],
]


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_the_list_is_what_runs(root: Path, words: list[str]) -> None:
    listed, nothing = example_runs.run(root, *words, "--list")
    assert (listed.returncode, nothing) == (0, []), listed.stderr
    assert not (root / "runs").exists()
    if words[0] == "miniature":
        done, commands = miniature(root, *words[1:])
    else:
        done, commands = example_runs.run(root, *words)
    assert done.returncode == 0, done.stderr
    assert [_tool_and_words(line) for line in listed.stdout.splitlines()[1:]] == commands


@pytest.mark.parametrize("name", ["interleave", "text_to_token", "own_data"])
def test_the_list_needs_nothing_that_is_made_first(root: Path, name: str) -> None:
    listed, nothing = example_runs.run(root, name, "--list")
    assert (listed.returncode, nothing) == (0, []), listed.stderr
    assert len(listed.stdout.splitlines()) > 3


def test_the_list_begins_by_making_its_folder(root: Path) -> None:
    sample_of(root / "mydata")
    listed, _ = example_runs.run(root, "own_data", "--list")
    entered = f"{listed.stdout.splitlines()[0]} && pwd && head -c 0 text/train.jsonl && ls"
    for _ in range(2):
        done = subprocess.run(["bash", "-c", entered], cwd="/", capture_output=True, text=True, check=True)
        assert done.stdout.split() == [f"{root}/runs/own_data", "assets", "recordings", "text"]
    assert example_runs.run(root, "own_data", "--only", "vocabulary")[0].returncode == 0


def sample_of(data: Path) -> None:
    """A folder with the files that own_data asks for."""
    for name in FILES:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()


def test_a_trial_and_the_real_run_have_folders_of_their_own(root: Path) -> None:
    sample_of(root / "mydata")
    for words, name in ((["--trial"], "own_data_trial"), ([], "own_data")):
        assert example_runs.run(root, "own_data", *words, "--part", "pretrain")[0].returncode == 0
        assert (root / "runs" / name / "settings.txt").read_text() == f"base=none trial={bool(words)}\n"


def test_a_part_says_which_is_next(root: Path) -> None:
    sample_of(root / "mydata")
    said = [example_runs.run(root, "own_data", "--part", part)[0].stdout.splitlines()[-1] for part in PARTS]
    after = [f"{part} is done; next: --part {following}" for part, following in pairwise(PARTS)]
    assert said == [*after, "evaluate is done: the last part"]


def test_a_failed_step_of_own_data_says_what_changed_data_need(root: Path) -> None:
    sample_of(root / "mydata")
    done, _ = example_runs.run(root, "own_data", "--part", "speech", fail="import_speech")
    said = "; mend the cause and repeat the command; after a change of the data, choose another --run-dir\n"
    assert done.returncode == 2 and done.stderr.endswith(said)


def test_run_alone_names_the_examples(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "megatron_speech.commands", "run"], capture_output=True, text=True, check=True
    )
    *named, last = done.stdout.splitlines()
    assert [line.split()[0] for line in named] == list(EXAMPLES) and "run EXAMPLE --help" in last
    assert all(line.endswith((".", "?")) for line in named)


def _tool_and_words(line: str) -> list[str]:
    words = shlex.split(re.sub(r"^\(cd \w+ && (.*)\)(?=  # )", r"\1", line), comments=True)
    words = words[words.index("megatron-speech") + 1 :]
    return words[4:] if words[:3] == ["launch", "--standalone", "--nproc-per-node"] else words


def test_options_of_sbatch_are_handed_on(root: Path) -> None:
    listed, _ = example_runs.run(root, "glm4_9b", "--nodes=16", "--time", "1:00", "--list")
    submit = (
        "sbatch --job-name=glm4_9b --nodes=16 --time 1:00 slurm/pretrain.sbatch --config examples/glm4_9b/pretrain.yaml"
    )
    assert listed.stdout.splitlines()[-1] == f"{submit}  # submit"


MISTAKES = [
    (["miniature", "--budget", "8"], "--budget is not an option; see --help"),
    (["miniature", "--run-dir"], "--run-dir: expected one argument; see --help"),
    (["miniature", "--run-dir", ""], "--run-dir='' must be a folder's path"),
    (["miniature", "--budget-minutes", "0.5"], "--budget-minutes=0.5 must be a whole number from 1 to 9999"),
    (["miniature", "--assets", "some"], "--assets=some must be ci or full"),
    (["miniature", "--model.base", "gpt"], "--model.base=gpt must be 'scratch'"),
    (["miniature", "--only", "decoded"], "--only=decoded is no step; --list names them"),
    (["miniature", "--from", "x"], "--from=x is no step; --list names them"),
    (["interleave", "--miniature", "nowhere"], "nowhere/t2t/hf does not exist; run examples/miniature/run.sh first"),
    (["precision"], "the first word must be the folder of packed rows; see --help"),
    (["precision", "made/packed", "--steps", "0"], "--steps=0 must be a whole number above 0"),
    (["precision", "made"], "made holds no interleaved rows; make them with examples/miniature/run.sh"),
    (["own_data"], "/mydata holds no text/train.jsonl; make it, see --help"),
    (["own_data", "--data", ""], "--data='' must be a folder's path"),
    (["own_data", "--data", "made"], "made holds no text/train.jsonl; make it, see --help"),
    (["mixture", "more"], "more is not an option; see --help"),
]


@pytest.mark.parametrize(
    ("words", "said"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_one_line_and_no_work(root: Path, words: list[str], said: str) -> None:
    done, commands = example_runs.run(root, *words)
    assert (done.returncode, commands, done.stdout) == (2, [], "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ") and said in done.stderr
    assert not (root / "runs").exists()


@pytest.mark.parametrize("words", [["own_data", "--data", "loop"], ["miniature", "--run-dir", "loop"]])
def test_a_link_that_leads_back_to_itself_is_one_line(root: Path, words: list[str]) -> None:
    (root / "loop").symlink_to("loop")
    done, commands = example_runs.run(root, *words)
    assert (done.returncode, commands) == (2, [])
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ") and "loop" in done.stderr


def test_a_folder_made_from_something_else_is_refused(root: Path) -> None:
    assert example_runs.run(root, "precision", "made/packed")[0].returncode == 0
    shutil.copytree(root / "made", root / "other")
    done, commands = example_runs.run(root, "precision", "other/packed")
    assert (done.returncode, commands) == (2, [])
    assert f"was made with {root}/made/packed, not {root}/other/packed" in done.stderr


def test_help_tells_every_option(root: Path) -> None:
    done, _ = example_runs.run(root, "miniature", "--help")
    assert done.returncode == 0
    for word in (
        "usage: megatron-speech run miniature",
        "--budget-minutes",
        "--run-dir",
        "--list",
        "--only",
        "--from",
    ):
        assert word in done.stdout


SLEEPER = """
import signal, sys, time
def leave(number, frame):
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, leave)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("words", [["mixture"], ["precision", "made/packed"]], ids=["shown", "kept in a log too"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_step_save_and_begins_no_other(
    root: Path, number: int, status: int, words: list[str]
) -> None:
    """Ctrl-C reaches the whole process group, `kill` the runner alone."""
    python = root / ".venv" / "bin" / "python"
    python.write_text(example_runs.PYTHON + SLEEPER)
    environment = {"COMMANDS": str(root / "commands"), "FAIL": "", "PATH": "/usr/bin:/bin"}
    command = ["bash", str(root / "examples" / "run.sh"), *words]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=root,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    ) as process:
        assert process.stdout
        said = iter(process.stdout.readline, b"")
        assert b"ready\n" in said
        send = os.killpg if number == signal.SIGINT else os.kill
        send(process.pid, number)
        assert list(said) == [b"saved\n"]
    assert process.returncode == status
    assert len((root / "commands").read_text().splitlines()) == 1


def test_what_is_left_follows_the_steps_that_are_done() -> None:
    clock = Clock({"a": 100.0, "b": 100.0, "c": 200.0})
    assert clock.left(["a", "b", "c"]) == pytest.approx(400)
    clock.slowness = 2.0
    assert clock.left(["a", "b", "c"]) == pytest.approx(800)
    clock.measured["fetch"] = 1000.0  # a download says nothing about the rest
    assert clock.left(["a", "b", "c"]) == pytest.approx(800)
    clock.measured["a"] = 400.0
    assert 800 < clock.left(["b", "c"]) < 1200
    clock.measured["b"] = 400.0
    assert 700 < clock.left(["c"]) < 800
    assert clock.left(["b"]) == 0


def test_a_step_that_only_looked_does_not_count_as_fast(tmp_path: Path) -> None:
    lines = [{"step": "a", "seconds": 90.0}, {"step": "a", "seconds": 2.0}]
    (tmp_path / "timings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    clock = Clock({"a": 100.0})
    clock.read(tmp_path / "timings.jsonl")
    assert clock.measured == {"a": 90.0}


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.4, "59 s"), (61, "1 min"), (7000, "117 min"), (7260, "2 h 1 min")]
)
def test_durations_are_said_as_a_person_would(seconds: float, said: str) -> None:
    assert duration(seconds) == said
