"""Preview of text normalization: the words a voice would say for each line of a text, or why the line is refused.

    In 1984 it cost $3.5M.   -->  in nineteen eighty four it cost three point five million dollars.
    See <b>here</b>.         -->  unspeakable: markup: See <b>here</b>.
    It ended 3-4-5.          -->  unspeakable: reading: 3-4-5.

Lines are split into sentences and judged exactly as documents are when interleaved data are built. A line with one
unspeakable sentence is refused as a whole, with the reason of the first such sentence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import BinaryIO

from megatron_speech.config.stages.text_to_token import Language
from megatron_speech.text_normalization.characters import character_classes, code_points
from megatron_speech.text_normalization.pieces import Unreadable
from megatron_speech.text_normalization.sentence_readings import read_sentences
from megatron_speech.text_normalization.speakable import Stretch, stretches
from megatron_speech.text_normalization.spoken import read_pieces

UNSPEAKABLE = "unspeakable"


def read_aloud(lines: Iterable[bytes], output: BinaryIO, *, language: Language) -> None:
    """Write one line of output for each line, at once; return quietly when the reading process closes the pipe."""
    try:
        for line in lines:
            output.write(f"{read_line_aloud(line, language=language)}\n".encode())
            output.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discards the rest of the buffer


def read_line_aloud(line: bytes, *, language: Language) -> str:
    """Words that a voice says for `line`, without a line end, or ``unspeakable: <reason>: <sign or words>``."""
    try:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        return f"{UNSPEAKABLE}: not UTF-8: byte {error.start} is 0x{line[error.start]:02x}"
    sentences = stretches(text, language=language, classes=character_classes(code_points(text)))
    judged, readings = read_sentences(text, sentences, language=language)
    for sentence in judged:
        if sentence.reason is not None:
            return _refusal(text, sentence, language)
    said = readings.of(0, len(text))
    return (said.lower() if language == "en" else said) or f"{UNSPEAKABLE}: no words"


def _refusal(text: str, sentence: Stretch, language: Language) -> str:
    if sentence.reason == "no_words":
        return f"{UNSPEAKABLE}: no words"
    words = text[sentence.start : sentence.end]
    if sentence.reason == "reading":
        try:
            read_pieces(words, language=language)
        except Unreadable as error:
            words = error.sign
    return f"{UNSPEAKABLE}: {sentence.reason}: {' '.join(words.split())}"
