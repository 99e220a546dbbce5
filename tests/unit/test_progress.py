"""Progress in words: what is said, when, of what is not known, on a terminal, and after an interruption."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from megatron_speech import progress as module
from megatron_speech.commands.main import bars_end_first
from megatron_speech.config.parsing.leaving import AGAIN
from megatron_speech.progress import Count, Progress, follow, in_words, seconds_left

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many lines per second."""
    for name in ("FIRST_S", "LONGEST_S", "LATE_S"):
        monkeypatch.setattr(module, name, 0.01)


def wait_for(lines: int, seen: pytest.CaptureFixture[str]) -> str:
    """Standard error, as soon as it holds so many lines."""
    said = ""
    while said.count("\n") < lines:
        time.sleep(0.01)
        said += seen.readouterr().err
    return said


@pytest.mark.parametrize(
    ("count", "total", "seconds", "words"),
    [
        (Count(1200, 0.03), 40_000, 3.0, "1,200 of 40,000 documents (3 %), 400/s, about 2 min left"),
        (Count(1200, 0.03), None, 3.0, "1,200 documents (3 % of the work), 400/s, about 2 min left"),
        (Count(1200), None, 3.0, "1,200 documents, 400/s, 3 s so far"),
        (Count(0, 0.0), 40_000, 3.0, "0 of 40,000 documents (0 %), 3 s so far"),
        (Count(3, 0.5), 6, 60.0, "3 of 6 documents (50 %), 3.0/min, about 1 min left"),
        # Half was there before: a quarter took 10 s, so a quarter is left.
        (Count(75, 0.75, early=0.5), 100, 10.0, "75 of 100 documents (75 %), 2.5/s, about 10 s left"),
        (Count(50, 0.5, early=0.5), 100, 10.0, "50 of 100 documents (50 %), 10 s so far"),
        (Count(1, 0.5), 2e10, 1.0, "1 of 20.0 billion documents (50 %), 1.0/s, about 1 s left"),
        (Count(1, 1.0), 1, 2.0, "1 of 1 document (100 %), 30.0/min, about 0 s left"),
    ],
)
def test_counts_in_words(count: Count, total: float | None, seconds: float, words: str) -> None:
    assert in_words(count, unit="documents", total=total, seconds=seconds) == words


def test_work_without_counts_says_how_long_it_takes() -> None:
    assert in_words(Count(), unit="", total=None, seconds=35) == "35 s so far"


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 8.0), (0.5, 100.0), (0.999, 1.0)])
def test_the_time_left_is_right_if_the_speed_stays(share: float, seconds: float) -> None:
    left = seconds_left(Count(share=share), seconds)
    assert left is not None and (seconds + left) * share == pytest.approx(seconds)
    assert seconds_left(Count(), seconds) is None


def test_the_first_line_comes_before_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("tokenize_text books", unit="documents", total=40_000):
        assert capfd.readouterr().err == "tokenize_text books: 40,000 documents\n"
    with Progress("tokenize_text web", unit="documents"):
        assert capfd.readouterr().err == "tokenize_text web ...\n"
    assert capfd.readouterr() == ("", "")  # as short as this, nothing more is said


@pytest.mark.usefixtures("often")
def test_lines_of_counts_follow_and_the_last_one_sums_up(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("pack", unit="tokens", total=400) as progress:
        progress.add(100)
        progress.note = "loss 2.5"
        said = wait_for(3, capfd)
    first, *_, last = said.splitlines()  # the second line may come before the note
    assert first == "pack: 400 tokens"
    assert re.fullmatch(r"pack: 100 of 400 tokens \(25 %\), [\d,.]+/\w+, about \d+ \w+ left; loss 2.5", last)
    assert re.fullmatch(r"pack: 100 tokens in \d+ s", capfd.readouterr().err.splitlines()[-1])


@pytest.mark.usefixtures("often")
def test_of_an_unknown_total_the_share_of_the_input_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("tokenize", unit="documents") as progress:
        progress.add(7)
        progress.share = 0.5
        said = wait_for(2, capfd).splitlines()[1]
    assert re.match(r"tokenize: 7 documents \(50 % of the work\), .*, about \d+ \w+ left$", said)


def test_pauses_grow_up_to_the_longest(capfd: pytest.CaptureFixture[str]) -> None:
    lines, pauses = module.Lines(Progress("work")), []
    for _ in range(6):
        pauses.append(lines.pause_s)
        lines.show()
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert capfd.readouterr().err.count("\n") == 7


def test_short_work_that_is_shown_late_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(follow([1, 2], "check", unit="files", late=True)) == [1, 2]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("often")
def test_long_work_that_is_shown_late_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("load model", late=True):
        said = wait_for(2, capfd).splitlines()
    assert said[0] == "load model ..." and re.fullmatch(r"load model: \d+ s so far", said[1])


def test_a_rank_other_than_zero_is_silent(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    assert list(follow("ab", "work", unit="letters")) == ["a", "b"]
    assert capfd.readouterr() == ("", "")


def test_after_an_error_nothing_more_is_shown() -> None:
    def fail(items: Iterator[int]) -> None:
        for _ in items:  # the traceback keeps `items`, and with it the progress
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"), bars_end_first():
        fail(follow([1, 2], "work", unit="things"))
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.mark.parametrize("closed", ["before", "in time", "meanwhile"])
def test_closed_standard_error_does_not_end_the_work(closed: str) -> None:
    code = (
        "import os, sys, time\nfrom megatron_speech import progress\nprogress.FIRST_S = 0.01\n"
        f"if {closed == 'in time'}: os.close(2)\n"
        "with progress.Progress('work', unit='things') as shown:\n"
        f"    if {closed == 'meanwhile'}: os.close(2)\n"
        "    time.sleep(0.1)\nprint('done')"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}{' 2>&-' if closed == 'before' else ''}"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"


BAR = """
import logging, sys, time
from pathlib import Path
from megatron_speech.commands.main import bars_end_first
from megatron_speech.config.parsing.parse import user_errors
from megatron_speech.progress import follow, logs_beside_bars, say

def numbers():
    yield from range(10)
    logging.getLogger("without.handlers").warning("half is done")
    say("a result")
    yield from range(10)
    time.sleep(0.5)
    if ended := sys.argv[1:]:
        Path(ended[0]).touch()
        time.sleep(600)

logging.basicConfig(format="%(message)s")
assert list(follow([1, 2], "short", unit="things", late=True)) == [1, 2]
with user_errors(), logs_beside_bars(), logs_beside_bars("without.handlers"), bars_end_first():
    for _ in follow(numbers(), "count", unit="numbers", total=20):
        pass
print("the end", file=sys.stderr)
"""


def on_a_terminal(*words: str, until: Path | None = None) -> str:
    """What a terminal gets from `BAR`; a process with `until` is interrupted when that file is there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", BAR, *words], cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    reader = os.fdopen(ours, "rb", buffering=0)
    said = b""
    asked = False
    try:
        while piece := reader.read(1 << 16):
            said += piece
            if until and not asked and until.exists():
                asked = not process.send_signal(signal.SIGINT)
    except OSError:  # the other end is closed
        pass
    process.wait()
    return said.decode()


def screen(said: str) -> list[str]:
    """Lines as a terminal shows them, where a return goes back to the begin of the line."""
    shown = []
    for line in said.replace("\x1b[A", "").replace("\r\n", "\n").split("\n"):
        cells = ""
        for piece in line.split("\r"):
            cells = piece + cells[len(piece) :]
        shown.append(cells.rstrip())
    return shown


def test_on_a_terminal_a_bar_moves_and_other_lines_stand_above_it() -> None:
    *above, bar, end, empty = screen(on_a_terminal())
    assert above == ["half is done", "a result"]
    assert re.match(r"count: 100%\|.*\| 20/20 \[\d\d:\d\d<00:00, +[\d.]+ ?\w* ?numbers/s\]", bar), bar
    assert (end, empty) == ("the end", "")


def test_an_interrupted_bar_leaves_a_clean_line(tmp_path: Path) -> None:
    *_, bar, line, empty = screen(on_a_terminal(str(tmp_path / "ended"), until=tmp_path / "ended"))
    assert bar.startswith("count: 100%|"), bar
    assert (line, empty) == (AGAIN, "")
