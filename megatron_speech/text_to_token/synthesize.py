"""Texts to speech tokens in bulk, with guards: a sample is accepted, drawn again, or given up and counted.

A sampled sequence fails in known ways: it ends at once, never ends, or loops on one code. Each is seen from the
codes alone, so no recogniser is needed in the loop (tools/round_trip.py measures what the guards miss). A refused
text is sampled again with another seed, `attempts` times at most, and then given as None: the caller keeps it as
text and counts it. Randomness is a function of (seed, key, attempt), so batches, order and restarts change nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from megatron_speech.config.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request, generate
from megatron_speech.inference.model import Dtype, LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids
from megatron_speech.text_to_token.layout import codes_of, prompt, stop_id
from megatron_speech.text_to_token.spoken import spoken
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

Fault = Literal["unspeakable", "runaway", "too_short", "repeats"]


class Engine(Protocol):
    """Whatever continues prompts with speech ids, each request under its own seed."""

    def generate(self, requests: Sequence[Request], *, progress: bool) -> list[Generation]:
        """Speech ids up to the end of the audio, in the order of the requests."""
        ...


@dataclass(frozen=True, kw_only=True)
class TransformersEngine:
    """Generation in this process."""

    model: LanguageModel
    sampling: Sampling
    batch_size: int = 64

    def generate(self, requests: Sequence[Request], *, progress: bool) -> list[Generation]:
        """See `Engine`."""
        vocabulary = self.model.vocabulary
        return generate(
            self.model,
            requests,
            sampling=self.sampling,
            stop=[stop_id(vocabulary)],
            allowed=allowed_ids(vocabulary, "speech"),
            batch_size=self.batch_size,
            progress=progress,
        )


@dataclass(kw_only=True)
class Synthesizer:
    """Text to speech codes; `counts` says how often each thing happened since it was made."""

    engine: Engine
    tokenizer: TextTokenizer
    vocabulary: Vocabulary
    settings: SynthesisConfig
    counts: Counter[str] = field(default_factory=Counter)
    """texts, samples, given_up, codes, spoken_characters, and refused samples by fault."""

    @classmethod
    def load(
        cls, folder: Path, settings: SynthesisConfig | None = None, *, dtype: Dtype = "float32", device: str = "cpu"
    ) -> Synthesizer:
        """From the Hugging Face folder of a text-to-token model."""
        settings = settings or SynthesisConfig()
        model = LanguageModel.load(folder, dtype=dtype, device=device)
        sampling = Sampling(temperature=settings.temperature, top_p=settings.top_p)
        engine = TransformersEngine(model=model, sampling=sampling)
        return cls(engine=engine, tokenizer=model.tokenizer, vocabulary=model.vocabulary, settings=settings)

    def synthesize(
        self, texts: Sequence[str], seed: int, *, keys: Sequence[str] | None = None, progress: bool = False
    ) -> list[np.ndarray | None]:
        """Codes int32 [T] of every text, None where every attempt failed.

        `keys` name the texts for the random numbers (document and span); by default a text is its own name, and then
        equal texts give equal codes.
        """
        names = texts if keys is None else keys
        assert len(names) == len(texts), f"{len(names)} keys for {len(texts)} texts"
        prompts = [prompt(text, tokenizer=self.tokenizer, vocabulary=self.vocabulary) for text in texts]
        lengths = [len(spoken(text)) for text in texts]
        results: list[np.ndarray | None] = [None] * len(texts)
        waiting = [number for number, ids in enumerate(prompts) if ids]
        self.counts.update(texts=len(texts), unspeakable=len(texts) - len(waiting))
        for attempt in range(self.settings.attempts):
            requests = [
                Request(
                    prompt=prompts[number],
                    max_new_tokens=self._most_codes(lengths[number]) + 1,
                    seed=request_seed(seed, names[number], attempt),
                )
                for number in waiting
            ]
            generations = self.engine.generate(requests, progress=progress)
            for number, generation in zip(waiting, generations, strict=True):
                results[number] = self._accept(generation, lengths[number])
            waiting = [number for number in waiting if results[number] is None]
            if not waiting:
                break
        self.counts["given_up"] += sum(codes is None for codes in results)
        return results

    def _accept(self, generation: Generation, num_characters: int) -> np.ndarray | None:
        """Codes of a good sample, None for a refused one; both are counted."""
        self.counts["samples"] += 1
        if fault := self._fault(generation, num_characters):
            self.counts[fault] += 1
            return None
        self.counts.update(codes=len(generation.tokens), spoken_characters=num_characters)
        return codes_of(generation.tokens, vocabulary=self.vocabulary)

    def _most_codes(self, num_characters: int) -> int:
        return self.settings.spare_codes + int(self.settings.max_codes_per_character * num_characters)

    def _fault(self, generation: Generation, num_characters: int) -> Fault | None:
        """Why a sample is refused, or None."""
        if not generation.stopped:
            return "runaway"
        if len(generation.tokens) < max(1.0, self.settings.min_codes_per_character * num_characters):
            return "too_short"
        if longest_run(generation.tokens) > self.settings.max_repeats:
            return "repeats"
        return None


def request_seed(seed: int, key: str, attempt: int) -> int:
    """64 bits from (seed, key, attempt)."""
    digest = hashlib.blake2b(f"{seed}\0{key}\0{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def longest_run(tokens: Sequence[int]) -> int:
    """Length of the longest run of one token; 0 for none."""
    if not tokens:
        return 0
    values = np.asarray(tokens)
    edges = np.flatnonzero(np.diff(values)) + 1
    return int(np.diff(np.concatenate([[0], edges, [len(values)]])).max())
