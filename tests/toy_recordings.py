"""Toy recordings, a speech tokenizer that hears how loud they are, and models that learnt, for tests of evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from megatron_speech.audio.io import write_audio
from megatron_speech.inference.model import LanguageModel
from tests.toys import tiny_llama, write_jsonl

CODES = 16
CAPITALS = {"France": "Paris", "Peru": "Lima", "China": "Beijing", "Kenya": "Nairobi", "Norway": "Oslo"}
"""Right answers to the questions of `write_questions`."""
FACTS = SimpleNamespace(fingerprint="tokenizer-a", frame_rate=12.5, sample_rate=16000, causal=True)


@dataclass
class LoudnessTokenizer:
    """Codes that depend on the loudness of 80 ms; counts what it encodes."""

    encoded: int = 0
    facts = FACTS

    def encode_one(self, waveform: np.ndarray) -> np.ndarray:
        """Codes of one recording."""
        self.encoded += 1
        padded = np.pad(waveform, (0, -len(waveform) % 1280)).reshape(-1, 1280)
        return np.int32(np.abs(padded).mean(axis=1).clip(0, 0.99) * CODES)


class LetterRecognizer:
    """Reads two codes as one letter of ASCII."""

    language = "en"
    max_codes = 200

    def recognize(self, codes: Sequence[np.ndarray]) -> list[str]:
        """See `CodeRecognizer`."""
        return ["".join(chr(16 * high + low) for high, low in zip(row[::2], row[1::2], strict=False)) for row in codes]


class LevelDecoder:
    """Makes a sound of codes, 80 ms each, whose level says the code."""

    facts = SimpleNamespace(sample_rate=16000, frame_rate=12.5, codebook_size=CODES, speech_fingerprint="tokenizer-a")

    def decode(self, codes: np.ndarray, speaking: object = None) -> np.ndarray:
        """See `SpeechDecoder`."""
        return np.repeat((codes + 0.5) / CODES, 1280).astype(np.float32)


class LevelWhisper:
    """Reads the sounds of `LevelDecoder` as `LetterRecognizer` reads codes, but mishears one word."""

    max_samples = 28 * 16000

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """See `WhisperRecognizer`."""
        assert all(len(each) for each in waveforms), "nothing is there to be heard"
        texts = LetterRecognizer().recognize([np.int32(each[::1280] * CODES) for each in waveforms])
        return [f" {'Also' if text == 'Oslo' else text}." for text in texts]


class LevelDnsmos:
    """Likes long sounds."""

    def score(self, waveform: np.ndarray) -> SimpleNamespace:
        """See `Dnsmos`."""
        return SimpleNamespace(overall=1.0 + len(waveform) / 16000)


def letters_spoken(text: str) -> np.ndarray:
    """Codes that `LetterRecognizer` reads as `text`."""
    return np.array([half for letter in text.encode("ascii") for half in divmod(letter, 16)], np.int32)


def say(path: Path, seed: int) -> None:
    """Write a recording of noise, whose length and loudness follow from `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    write_audio(path, (random.random(4000 + 1300 * (seed % 5)) * random.random()).astype(np.float32))


def say_codes(path: Path, seed: int) -> None:
    """Write a recording of eight random codes of `LoudnessTokenizer`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = (np.random.default_rng(seed).integers(0, CODES, 8) + 0.5) / CODES
    write_audio(path, np.repeat(levels, 1280).astype(np.float32))


def write_questions(folder: Path) -> Path:
    """Write a recorded question for the capital of every country of `CAPITALS`."""
    lines = []
    for number, (country, capital) in enumerate(CAPITALS.items()):
        say_codes(folder / f"{country}.wav", number)
        question = f"Capital of {country}?"
        lines.append({"index": country, "audio_path": f"{country}.wav", "question": question, "answer": capital})
    write_jsonl(folder / "questions.jsonl", *lines)
    return folder


def taught(model: LanguageModel, examples: Sequence[tuple[list[int], list[int]]]) -> LanguageModel:
    """A model with the vocabulary of `model` that learnt (prompt ids, answer ids) by heart."""
    learner = replace(model, network=tiny_llama(model.vocabulary, hidden_size=64, intermediate_size=128))
    sequences = [torch.tensor([*prompt, *answer]) for prompt, answer in examples]
    answers = [torch.tensor([*[-100] * len(prompt), *answer]) for prompt, answer in examples]
    tokens = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=-100)
    optimizer = torch.optim.Adam(learner.network.parameters(), lr=5e-3)
    for _ in range(150):
        loss = learner.network(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return learner
