"""Look before a corpus is spoken: each line of text as a voice would say it, or why none of it would be.

    In 1984 it cost $3.5M.   -->  in nineteen eighty four it cost three point five million dollars.
    See <b>here</b>.         -->  unspeakable: markup: See <b>here</b>.
    It ended 3-4-5.          -->  unspeakable: reading: 3-4-5.

The judgement is that of interleaved data: the sentences of a line are found, judged and read as those of a document. A
line is spoken as a whole or not at all; the first sentence that cannot be spoken says why.
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
    """Write one line for each line as it comes; ends quietly where nobody reads on."""
    try:
        for line in lines:
            output.write(f"{read_line_aloud(line, language=language)}\n".encode())
            output.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere


def read_line_aloud(line: bytes, *, language: Language) -> str:
    """The spoken form of a line, or ``unspeakable: <reason>: <sign or words>``; its line end is no part of it."""
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
