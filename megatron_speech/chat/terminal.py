"""Answers one question, or a person's lines, on the terminal: text as it is written, speech as a count of seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from megatron_speech.artifacts.manifest import require_place
from megatron_speech.audio.io import read_speech
from megatron_speech.config.parsing.bounds import require_sound_file
from megatron_speech.config.stages.generate import GenerateConfig
from megatron_speech.progress import loading
from megatron_speech.speech_decoder.interface import SpeechDecoder
from megatron_speech.speech_decoder.one_recording import decode_to_file

if TYPE_CHECKING:
    from megatron_speech.chat.partner import Partner, Question

HELP = """A line is a prompt, which the model continues; it remembers nothing of the lines before.
  :audio FILE   continue a recording
  :speak FILE   speak the next answer into a WAV file
  :quit         leave, as Ctrl-D does; Ctrl-C stops an answer"""

_NOTHING = (
    "nothing to answer: give prompt, audio or codes, or interactive to read prompts line by line, or pipe them in"
)


def talk(config: GenerateConfig) -> None:
    """Answer `config.prompt` or `config.audio`, else every line of standard input.

    Raises FileNotFoundError or ValueError for a user's mistake; one in a line is shown, and the next line is read.
    """
    asked = config.prompt is not None or config.audio is not None
    lines = _lines()
    if not (asked or config.interactive or sys.stdin.isatty()):
        if (first := next(lines, None)) is None:
            raise ValueError(_NOTHING)
        lines = chain([first], lines)
    if config.audio is not None:
        read_speech(config.audio)  # a mistake in it must not cost the loading of libraries and the model
    if config.speak is not None:
        require_folder(config.speak)
        require_place(config.speak, [config.audio] if config.audio is not None else [])
    with loading("generate"):
        from megatron_speech.chat.partner import Partner

    partner = Partner.load(config)
    if config.audio is not None:
        answer(partner, partner.hear(config.audio), speak=config.speak)
    elif config.prompt is not None:
        answer(partner, partner.read(config.prompt), speak=config.speak)
    else:
        Conversation(partner, speak=config.speak).hold(lines)


@dataclass
class Conversation:
    """Reads lines and answers each."""

    partner: Partner
    speak: Path | None
    """Sound file for the next answer; None for an answer in text."""

    def hold(self, lines: Iterator[str]) -> None:
        """Answer until the lines end or one says ``:quit``."""
        if sys.stdin.isatty():
            print(HELP, file=sys.stderr)
        for line in lines:
            try:
                if line == ":quit":
                    return
                self.obey(line)
            except KeyboardInterrupt:
                print("\n(stopped)", file=sys.stderr)
            except (ValueError, OSError) as error:
                print(f"error: {error}", file=sys.stderr)

    def obey(self, line: str) -> None:
        """Do what one line says. Raises ValueError or OSError for a mistake in it."""
        word, _, rest = line.partition(" ")
        if not word.startswith(":"):
            self.answer(self.partner.read(line))
        elif word == ":audio" and rest.strip():
            self.answer(self.partner.hear(Path(rest.strip())))
        elif word == ":speak" and rest.strip():
            require_voice(self.partner, Path(rest.strip()))
            self.speak = Path(rest.strip())
        else:
            raise ValueError(f"{line}: no such command; use :audio FILE, :speak FILE or :quit")

    def answer(self, question: Question) -> None:
        """Answer as asked for; the answer after a spoken one is text again."""
        speak, self.speak = self.speak, None
        answer(self.partner, question, speak=speak)


def answer(partner: Partner, question: Question, *, speak: Path | None) -> None:
    """Print the answer as it is made, or speak it into the file `speak`. Raises ValueError if nothing is said."""
    made: list[int] = []
    tokens = _kept(partner.tokens(question, "speech" if speak else "text"), made)
    if speak is not None:
        _speak(partner, tokens, speak)
    else:
        for piece in partner.model.tokenizer.decode_stream(tokens, after=question.text_ids):
            print(piece, end="", flush=True)
        print()
    if not made:
        print("(nothing: the model ends the document at once)", file=sys.stderr)
    if len(made) == partner.config.max_new_tokens:
        print(f"(stopped at max_new_tokens={len(made)})", file=sys.stderr)


def _speak(partner: Partner, tokens: Iterator[int], path: Path) -> None:
    decoder = require_voice(partner, path)
    codes: list[int] = []
    for token in tokens:
        codes.append(token - partner.model.vocabulary.first_speech_id)
        if sys.stderr.isatty():
            print(f"\r{len(codes) / decoder.facts.frame_rate:.1f} s of speech", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not codes:
        raise ValueError("the model says nothing: it ends its speech at once; try another prompt, seed or temperature")
    print(f"{path}: {decode_to_file(decoder, np.array(codes), path):.1f} s of speech")


def require_voice(partner: Partner, path: Path) -> SpeechDecoder:
    """The speech decoder for an answer in `path`; ValueError or FileNotFoundError if it cannot be spoken there."""
    require_sound_file("speak", path)
    require_folder(path)
    if partner.decoder is None:
        raise ValueError(
            f"speak={path} needs a speech decoder and its vocoder; give their folders as speech_decoder and vocoder"
        )
    return partner.decoder


def require_folder(path: Path) -> None:
    """Raise FileNotFoundError if the folder of a file to write is missing."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"speak={path}: the folder {path.parent} does not exist; make it first")


def _kept(tokens: Iterator[int], made: list[int]) -> Iterator[int]:
    """Yield tokens and append each to `made`."""
    for token in tokens:
        made.append(token)
        yield token


def _lines() -> Iterator[str]:
    """Yield lines of standard input that are not blank; on a terminal, with a prompt and the keys of readline."""
    on_terminal = sys.stdin.isatty()
    if on_terminal:
        import readline  # noqa: F401  # `input` edits lines with it
    while True:
        try:
            line = input("> " if on_terminal else "").strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            print("\n(Ctrl-D ends)", file=sys.stderr)
            continue
        if line:
            yield line
