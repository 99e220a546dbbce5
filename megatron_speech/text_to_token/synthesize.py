"""Readings of texts to speech tokens in bulk, with guards: a sample is accepted, drawn again, or given up and counted.

A sampled sequence fails in known ways: it ends at once, never ends, or loops on one code. Each is seen from the
codes alone, so no recogniser is needed in the loop (tools/round_trip.py measures what the guards miss). A refused
text joins the stream again with the next attempt's seed, `attempts` times at most, and is then given as None: the
caller keeps it as text and counts it. Randomness is a function of (seed, key, attempt), so batches, order and restarts
change nothing. Results come as they finish; what is held in memory is what the engine has under way.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from megatron_speech.config.stages.text_to_token import Language, SynthesisConfig
from megatron_speech.inference.generate import Generation, Request, in_order
from megatron_speech.inference.model import read_vocabulary
from megatron_speech.randomness import blake2b_number
from megatron_speech.text_to_token.engines.interface import SynthesisEngine
from megatron_speech.text_to_token.engines.table import ENGINES, require_engine
from megatron_speech.text_to_token.prompts import codes_of, prompt
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

Fault = Literal["unspeakable", "runaway", "too_short", "repeats"]


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A text under way."""

    number: int
    key: str
    prompt: list[int]
    num_characters: int
    faults: tuple[Fault, ...] = ()
    """Of the samples that were refused so far, one for each."""


@dataclass(kw_only=True)
class Synthesizer:
    """Readings (texts as they are read aloud) to speech codes; `counts` says how often each thing happened so far."""

    engine: SynthesisEngine
    tokenizer: TextTokenizer
    vocabulary: Vocabulary
    settings: SynthesisConfig
    language: Language = "en"
    """Of the readings."""
    counts: Counter[str] = field(default_factory=Counter)
    """texts, samples, given_up, codes, spoken_characters, and refused samples by fault: of the texts that have come."""

    @classmethod
    def load(cls, folder: Path, settings: SynthesisConfig | None = None, *, language: Language = "en") -> Synthesizer:
        """From the Hugging Face folder of a text-to-token model; EngineError when the engine does not start."""
        settings = settings or SynthesisConfig()
        vocabulary, tokenizer = read_vocabulary(folder), TextTokenizer.load(folder)
        require_engine(settings.engine)
        engine = ENGINES[settings.engine](folder, settings)
        return cls(engine=engine, tokenizer=tokenizer, vocabulary=vocabulary, settings=settings, language=language)

    def synthesize(
        self, readings: Sequence[str], seed: int, *, keys: Sequence[str] | None = None, progress: bool = False
    ) -> list[np.ndarray | None]:
        """Codes int32 [T] of every reading, None where every attempt failed, or it says nothing.

        `keys` name the readings for the random numbers (document and span); by default one is its own name, and then
        equal ones give equal codes.
        """
        items = zip(readings if keys is None else keys, readings, strict=True)
        return in_order(self.stream(items, seed), len(readings), progress="synthesise" if progress else None)

    def stream(self, items: Iterable[tuple[str, str]], seed: int) -> Iterator[tuple[int, np.ndarray | None]]:
        """(Place of the item in the input, codes int32 [T] or None) of every (key, reading), as they finish.

        Items are read as the engine gets free, a bounded number ahead, so the input may be endless.
        """
        source = enumerate(items)
        unspeakable: deque[int] = deque()  # places of texts that were never asked
        again: deque[_Item] = deque()
        attempts = self.settings.attempts if self.settings.temperature else 1  # the same sample would only come again
        while True:
            asked: dict[int, _Item] = {}
            for number, generation in self.engine.generate(self._requests(source, again, unspeakable, asked, seed)):
                item = asked.pop(number)
                fault = self._fault(generation, item.num_characters)
                if fault and len(item.faults) + 1 < attempts:
                    again.append(replace(item, faults=(*item.faults, fault)))
                else:
                    yield item.number, self._finished(item, generation, fault)
                yield from self._given_up(unspeakable)
            if not again:  # else what was refused after the last request had been read, once more
                break
        yield from self._given_up(unspeakable)

    def _requests(
        self,
        source: Iterator[tuple[int, tuple[str, str]]],
        again: deque[_Item],
        unspeakable: deque[int],
        asked: dict[int, _Item],
        seed: int,
    ) -> Iterator[Request]:
        """What to ask next, refused items before new ones; each is entered in `asked` under its place here."""
        places = itertools.count()
        while True:
            if again:
                item = again.popleft()
            elif new := next(source, None):
                number, (key, text) = new
                item = self._item(number, key, text, seed)
                if not item.prompt:
                    unspeakable.append(number)
                    continue
            else:
                return
            asked[next(places)] = item
            yield Request(
                prompt=item.prompt,
                max_new_tokens=self._most_codes(item.num_characters) + 1,
                seed=request_seed(seed, item.key, len(item.faults)),
            )

    def _item(self, number: int, key: str, reading: str, seed: int) -> _Item:
        speaker = speaker_of(self.settings.speakers, seed, key)
        ids = prompt(
            reading, tokenizer=self.tokenizer, vocabulary=self.vocabulary, speaker=speaker, language=self.language
        )
        return _Item(number=number, key=key, prompt=ids, num_characters=len(reading))

    def _finished(self, item: _Item, generation: Generation, fault: Fault | None) -> np.ndarray | None:
        """Codes of a text's last sample, None where it was refused, too; all its samples are counted."""
        faults = [*item.faults, fault] if fault else item.faults
        self.counts.update(["texts", *faults])
        self.counts["samples"] += len(item.faults) + 1
        if fault:
            self.counts["given_up"] += 1
            return None
        self.counts.update(codes=len(generation.tokens), spoken_characters=item.num_characters)
        return codes_of(generation.tokens, vocabulary=self.vocabulary)

    def _given_up(self, unspeakable: deque[int]) -> Iterator[tuple[int, None]]:
        """Texts of which nothing can be spoken."""
        while unspeakable:
            self.counts.update(["texts", "unspeakable", "given_up"])
            yield unspeakable.popleft(), None

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
    return blake2b_number(f"{seed}\0{key}\0{attempt}")


def speaker_of(speakers: Sequence[str], seed: int, key: str) -> str | None:
    """Who speaks a span (its key is `document:place`): one voice for a document; None where no voices are named."""
    return speakers[request_seed(seed, key.rpartition(":")[0] or key, 0) % len(speakers)] if speakers else None


def longest_run(tokens: Sequence[int]) -> int:
    """Length of the longest run of one token; 0 for none."""
    if not tokens:
        return 0
    values = np.asarray(tokens)
    edges = np.flatnonzero(np.diff(values)) + 1
    return int(np.diff(np.concatenate([[0], edges, [len(values)]])).max())
