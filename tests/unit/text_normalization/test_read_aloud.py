"""`read_aloud`: a line for a line, by the judgement of interleaved data, at once, whatever comes."""

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.config.stages.build_interleaved import SpansConfig, SpeakableConfig
from megatron_speech.interleave.compose import cut_document
from megatron_speech.text_normalization.read_aloud import read_aloud, read_line_aloud

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("line", "language", "printed"),
    [
        ("In 1984 it cost $3.5M.", "en", "in nineteen eighty four it cost three point five million dollars."),
        ("He left. World War II began!", "en", "he left. world war two began!"),
        ("The US and NATO.\r", "en", "the us and nato."),
        ("", "en", "unspeakable: no words"),
        (" \t ", "en", "unspeakable: no words"),
        ("...", "en", "unspeakable: no words"),
        ("See <b>here</b> now.", "en", "unspeakable: markup: See <b>here</b> now."),
        ("We left. It ended 3-4-5 there.", "en", "unspeakable: reading: 3-4-5"),
        ("Tokyo (東京) is large.", "en", "unspeakable: script: Tokyo (東京) is large."),
        ("a | b | c", "en", "unspeakable: table: a | b | c"),
        ("增长了10-20%。", "zh", "增长了百分之十到百分之二十。"),
        ("他在302路车上。", "zh", "unspeakable: reading: 302"),
        ("This is English.", "zh", "unspeakable: script: This is English."),
    ],
)
def test_lines(line: str, language: str, printed: str) -> None:
    assert read_line_aloud(f"{line}\n".encode(), language=language) == printed


def test_a_line_that_is_not_utf8_is_named_and_the_next_is_read() -> None:
    out = io.BytesIO()
    read_aloud([b"We ar\xffe here.\n", b"We left."], out, language="en")
    assert out.getvalue().decode().splitlines() == ["unspeakable: not UTF-8: byte 5 is 0xff", "we left."]


@settings(deadline=None, max_examples=200)
@given(st.text(), st.sampled_from(["en", "zh"]))
def test_any_text_gives_one_line_and_the_judgement_of_interleaved_data(text: str, language: str) -> None:
    text = text.replace("\n", " ").removesuffix("\r")
    try:
        line = text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no file of UTF-8 holds
        return
    printed = read_line_aloud(line, language=language)
    assert printed and "\n" not in printed
    counts: Counter[str] = Counter()
    unit = {"en": "words", "zh": "characters"}[language]
    cut_document(
        text,
        key="a",
        seed=0,
        spans=SpansConfig(unit=unit),
        speakable=SpeakableConfig(language=language),
        counts=counts,
    )
    if not printed.startswith("unspeakable: "):
        assert set(+counts) == {"speakable"}
    elif text.strip() and printed != "unspeakable: no words":
        assert printed.split(": ")[1] in counts


def test_lines_are_answered_as_they_come_and_a_closed_pipe_is_quiet() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "read_aloud.py"), "--language", "zh"]
    with subprocess.Popen(
        tool, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        for _ in range(2):
            process.stdin.write("他有2个。\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode() == "他有两个。\n"
        process.stdout.close()
        try:
            process.stdin.write("他有2个。\n".encode() * 1000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(60) == 0
        assert process.stderr.read() == b""
