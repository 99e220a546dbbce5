"""Synthesises speech codes for many readings; refuses bad samples and draws them again.

A sample fails in known ways: it ends at once, never ends, or repeats one code. The codes alone show each of these, so
no recogniser is needed here (`round_trip` measures what the checks miss). A refused sample is drawn again with
another seed. After `attempts` samples the text is given up: its result is None. The seed of a sample is a function of
(seed, key, attempt), so batching, order and restarts do not change the codes. Results are yielded as they finish, and
memory holds unfinished texts only.
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
    """An unfinished text."""

    number: int
    key: str
    prompt: list[int]
    num_characters: int
    faults: tuple[Fault, ...] = ()
    """One fault for each refused sample so far."""


@dataclass(kw_only=True)
class Synthesizer:
    """Turns readings (texts as they are read aloud) into speech codes."""

    engine: SynthesisEngine
    tokenizer: TextTokenizer
    vocabulary: Vocabulary
    settings: SynthesisConfig
    language: Language = "en"
    """Language of the readings."""
    counts: Counter[str] = field(default_factory=Counter)
    """Totals over the finished texts: texts, samples, given_up, codes, spoken_characters, and each `Fault`."""

    @classmethod
    def load(cls, folder: Path, settings: SynthesisConfig | None = None, *, language: Language = "en") -> Synthesizer:
        """Load a text-to-token model from its Hugging Face folder; EngineError if the engine does not start."""
        settings = settings or SynthesisConfig()
        vocabulary, tokenizer = read_vocabulary(folder), TextTokenizer.load(folder)
        require_engine(settings.engine)
        engine = ENGINES[settings.engine](folder, settings)
        return cls(engine=engine, tokenizer=tokenizer, vocabulary=vocabulary, settings=settings, language=language)

    def synthesize(
        self, readings: Sequence[str], seed: int, *, keys: Sequence[str] | None = None, progress: str | None = None
    ) -> list[np.ndarray | None]:
        """Codes int32 [T] of every reading, in order; None if the prompt is empty or every attempt failed.

        `keys` seed the random numbers of the readings (`document:place` for a span). By default a reading is its own
        key, so equal readings give equal codes. `progress` says what is done, to be shown; None shows nothing.
        """
        items = zip(readings if keys is None else keys, readings, strict=True)
        return in_order(self.stream(items, seed), len(readings), progress=progress)

    def stream(self, items: Iterable[tuple[str, str]], seed: int) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yield (place of the item in the input, codes int32 [T] or None) for every (key, reading), as they finish.

        Items are read a bounded number ahead of the engine, so the input may be endless.
        """
        source = enumerate(items)
        unspeakable: deque[int] = deque()  # places of readings with an empty prompt, which have no request
        again: deque[_Item] = deque()
        attempts = self.settings.attempts if self.settings.temperature else 1  # greedy: a retry gives the same sample
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
            if not again:  # else samples were refused after the engine had read the last request: start it once more
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
        """Yield the requests for the engine, retries first; adds each item to `asked` under its request number."""
        places = itertools.count()
        while True:
            # The next item: a retry, or a new reading with a prompt.
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
        """Codes of the last sample, or None if it has a fault; adds all samples of the text to `counts`."""
        faults = [*item.faults, fault] if fault else item.faults
        self.counts.update(["texts", *faults])
        self.counts["samples"] += len(item.faults) + 1
        if fault:
            self.counts["given_up"] += 1
            return None
        self.counts.update(codes=len(generation.tokens), spoken_characters=item.num_characters)
        return codes_of(generation.tokens, vocabulary=self.vocabulary)

    def _given_up(self, unspeakable: deque[int]) -> Iterator[tuple[int, None]]:
        """Yield (place, None) for the readings with an empty prompt, and count them."""
        while unspeakable:
            self.counts.update(["texts", "unspeakable", "given_up"])
            yield unspeakable.popleft(), None

    def _most_codes(self, num_characters: int) -> int:
        return self.settings.spare_codes + int(self.settings.max_codes_per_character * num_characters)

    def _fault(self, generation: Generation, num_characters: int) -> Fault | None:
        """Reason to refuse a sample, or None."""
        if not generation.stopped:
            return "runaway"
        if len(generation.tokens) < max(1.0, self.settings.min_codes_per_character * num_characters):
            return "too_short"
        if longest_run(generation.tokens) > self.settings.max_repeats:
            return "repeats"
        return None


def request_seed(seed: int, key: str, attempt: int) -> int:
    """64-bit seed from (seed, key, attempt)."""
    return blake2b_number(f"{seed}\0{key}\0{attempt}")


def speaker_of(speakers: Sequence[str], seed: int, key: str) -> str | None:
    """Choose the speaker of the span `key` (`document:place`): one per document, or None if `speakers` is empty."""
    return speakers[request_seed(seed, key.rpartition(":")[0] or key, 0) % len(speakers)] if speakers else None


def longest_run(tokens: Sequence[int]) -> int:
    """Length of the longest run of equal tokens; 0 for no tokens."""
    if not tokens:
        return 0
    values = np.asarray(tokens)
    edges = np.flatnonzero(np.diff(values)) + 1
    return int(np.diff(np.concatenate([[0], edges, [len(values)]])).max())
