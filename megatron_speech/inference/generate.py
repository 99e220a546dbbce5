"""Generation with continuous batching: reads a stream of requests and yields each result as soon as it finishes.

A finished row leaves the batch at once, and the oldest rows move into the gaps. When a sixteenth of the batch is free,
new prompts are read in one pass. Requests are read ahead in windows of bounded size and sorted longest first within
each. Memory stays bounded for an endless stream, and a window's longest requests do not finish last. Slots are
assigned in a ring, so rows in consecutive slots have similar age and length.

The loops of transformers cannot keep a request's randomness independent of the other requests. Here the random numbers
of a request depend on its seed and step only. Its logits depend on the other rows only by rounding, since matrix shapes
differ. Rounding changes a choice only between two ids that are equally good within it. Cost: attention reads as many
columns as the longest row of a chunk has, for every row of the chunk.

Shapes: B rows, A allowed ids, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from megatron_speech.grouping import grouped, grouped_by_size
from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, next_ids
from megatron_speech.progress import follow

REFILL_AT = 16  # refill when 1 / REFILL_AT of the batch is free; a prefill of few tokens is inefficient
WINDOW_BATCHES = 16  # size of the window of requests that are read ahead and sorted, in batches
PREFILL_TOKENS = 8192  # most prompt tokens of one prefill pass; bounds memory

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to continue."""

    prompt: Sequence[int]
    """Ids, at least one."""
    max_new_tokens: int
    """Most ids to generate, the stop id included."""
    seed: int
    """Seed of this request's random numbers, 0 .. 2**64 - 1."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Result of a request."""

    tokens: list[int] = field(default_factory=list)
    """New ids, without the stop id."""
    stopped: bool = False
    """True if generation ended with a stop id, False if it reached `max_new_tokens`."""


def generate_tokens(
    model: LanguageModel,
    requests: Iterable[Request],
    *,
    sampling: Sampling,
    stop: Collection[int],
    allowed: Tensor | None = None,
    batch_size: int = 64,
) -> Iterator[tuple[int, Generation]]:
    """Continue every request; yields (place in the input, result) as they finish.

    Requests are read lazily, one window ahead. `allowed` (bool [V]) marks the ids that may be generated. It must
    include those in `stop`.
    """
    ids_A = None if allowed is None else allowed.nonzero()[:, 0].to(model.device)
    decoder = Decoder.of(model.network, ids_A=ids_A)
    batch = _Batch(decoder, ids_A=ids_A, slots=batch_size, sampling=sampling, stop=frozenset(stop))
    waiting = _longest_first(requests, window=WINDOW_BATCHES * batch_size)
    while True:
        free = batch_size - len(batch.rows)
        newcomers = list(itertools.islice(waiting, free)) if free * REFILL_AT >= batch_size else []
        for rows in grouped_by_size(newcomers, size=lambda row: row.length, max_size=PREFILL_TOKENS):
            yield from batch.admit(rows)
        if batch.rows:
            yield from batch.step()
        elif not newcomers:
            return


def in_order(results: Iterable[tuple[int, T]], total: int, *, progress: str | None = None) -> list[T]:
    """Collect all `total` results of a stream in input order; `progress` says what is done, None shows nothing."""
    placed = dict(results if progress is None else follow(results, progress, unit="requests", total=total))
    return [placed[number] for number in range(total)]


@dataclass(frozen=True)
class _Row:
    """A waiting or active request."""

    number: int
    request: Request
    tokens: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Number of tokens so far, prompt included."""
        return len(self.request.prompt) + len(self.tokens)


def _longest_first(requests: Iterable[Request], *, window: int) -> Iterator[_Row]:
    """Sort requests by prompt length within consecutive windows; reads a window when the last one is used up."""
    rows = (_Row(number, request) for number, request in enumerate(requests))
    for block in grouped(rows, window):
        for row in block:
            assert row.request.prompt and row.request.max_new_tokens > 0, f"request {row.number} asks for nothing"
        yield from sorted(block, key=lambda row: -len(row.request.prompt))


class _Batch:
    """The active requests, oldest first; row n has slot `first_slot` + n, modulo the number of slots."""

    def __init__(
        self, decoder: Decoder, *, ids_A: Tensor | None, slots: int, sampling: Sampling, stop: frozenset[int]
    ) -> None:
        self.decoder = decoder
        self.ids_A = ids_A
        self.num_slots = slots
        self.first_slot = 0
        self.cache = decoder.cache(slots)
        self.sampling = sampling
        self.stop = stop
        self.rows: list[_Row] = []

    @torch.inference_mode()
    def admit(self, newcomers: list[_Row]) -> list[tuple[int, Generation]]:
        """Prefill the prompts of `newcomers`, choose their first tokens, and return the finished rows."""
        self.rows += newcomers
        slots = self._slots(range(len(self.rows) - len(newcomers), len(self.rows)))
        logits_BA = self.decoder.read([row.request.prompt for row in newcomers], cache=self.cache, slots=slots)
        return self._choose(logits_BA, newcomers)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Generation]]:
        """Generate one token for every row and return the finished rows."""
        logits_BA = self.decoder.extend(
            [row.tokens[-1] for row in self.rows],
            cache=self.cache,
            slots=self._slots(range(len(self.rows))),
            columns=[row.length - 1 for row in self.rows],
        )
        return self._choose(logits_BA, self.rows)

    def _choose(self, logits_BA: Tensor, rows: Sequence[_Row]) -> list[tuple[int, Generation]]:
        """Sample and append a token to each of `rows`; remove and return the finished ones."""
        chosen = next_ids(
            logits_BA,
            ids_A=self.ids_A,
            sampling=self.sampling,
            seeds=[row.request.seed for row in rows],
            steps=[len(row.tokens) for row in rows],
        )
        # A row ends with a stop id, which is not kept, or at its limit.
        finished: dict[int, Generation] = {}
        for row, token in zip(rows, chosen, strict=True):
            stopped = token in self.stop
            if not stopped:
                row.tokens.append(token)
            if stopped or len(row.tokens) == row.request.max_new_tokens:
                finished[row.number] = Generation(tokens=row.tokens, stopped=stopped)
        if finished:
            self._close_gaps(finished)
        return list(finished.items())

    def _close_gaps(self, finished: Collection[int]) -> None:
        """Remove the finished rows; the oldest other rows move into their slots."""
        num_gone = len(finished)
        gaps = [n for n in range(num_gone, len(self.rows)) if self.rows[n].number in finished]
        movers = [n for n in range(num_gone) if self.rows[n].number not in finished]
        for source, target in zip(movers, gaps, strict=True):
            self.rows[target] = self.rows[source]
        longest = max((self.rows[n].length for n in gaps), default=0)
        self.cache.move(self._slots(movers), self._slots(gaps), columns=longest)
        del self.rows[:num_gone]
        self.first_slot = (self.first_slot + num_gone) % self.num_slots

    def _slots(self, rows: Iterable[int]) -> list[int]:
        """Slots of the rows with these numbers."""
        return [(self.first_slot + row) % self.num_slots for row in rows]
