"""Continuous batching: a stream of requests in, results out as they finish, a full batch in between.

A row that has finished makes room at once: the oldest rows move into the gaps, and when a sixteenth of the batch is
free the next requests are read into it (their prompts in one pass). Requests are taken from a bounded window, longest
prompt first, and slots are given out in a ring, so that neighbours are of like age and length, memory stays bounded for
an endless stream, and the long ones do not come last.

This loop exists because a request's randomness must not depend on its neighbours, which the loops of transformers
cannot promise, and because of its speed; `decoder` is its forward pass. A request's numbers are a function of (its
seed, its own step); its logits do not depend on its neighbours but for the rounding of the matrix products (shapes
differ), which can turn a choice only where two ids are equal to within that rounding. Price: attention reads as many
columns as the longest row of a chunk has, for every row of it.

Shapes: B rows, A ids that may come, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from megatron_speech.grouping import grouped, grouped_by_size
from megatron_speech.inference.decoder import Decoder
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, choose
from megatron_speech.randomness import uniform_at

REFILL_AT = 16  # a batch is refilled when one in so many rows is free: passes over few tokens are dear
WINDOW_BATCHES = 16  # requests that are read ahead and sorted, in batches
PREFILL_TOKENS = 8192  # of prompts read in one pass: bounds memory

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to continue."""

    prompt: Sequence[int]
    """Ids, at least one."""
    max_new_tokens: int
    """Stop after so many."""
    seed: int
    """Of this request's random numbers, 0 .. 2**64 - 1."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What a request gave."""

    tokens: list[int] = field(default_factory=list)
    """New ids, without the stop id."""
    stopped: bool = False
    """A stop id came; false when the limit cut it."""


def generate_tokens(
    model: LanguageModel,
    requests: Iterable[Request],
    *,
    sampling: Sampling,
    stop: Collection[int],
    allowed: Tensor | None = None,
    batch_size: int = 64,
) -> Iterator[tuple[int, Generation]]:
    """Continue every request: (its place in the input, result), in the order in which they finish.

    Requests are read as they are needed, a window ahead; `allowed` (bool [V]) restricts the ids that may come, stop
    ids included.
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
    """All of a stream's results, in the order of its input; `progress` is the label of a bar."""
    placed = dict(tqdm(results, total=total, desc=progress, disable=progress is None))
    return [placed[number] for number in range(total)]


@dataclass(frozen=True)
class _Row:
    """A request under way."""

    number: int
    request: Request
    tokens: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens so far, of the prompt and new."""
        return len(self.request.prompt) + len(self.tokens)


def _longest_first(requests: Iterable[Request], *, window: int) -> Iterator[_Row]:
    """Requests, sorted within consecutive windows; each window is read when the one before it is used up."""
    rows = (_Row(number, request) for number, request in enumerate(requests))
    for block in grouped(rows, window):
        for row in block:
            assert row.request.prompt and row.request.max_new_tokens > 0, f"request {row.number} asks for nothing"
        yield from sorted(block, key=lambda row: -len(row.request.prompt))


class _Batch:
    """The requests under way, oldest first; their slots follow one another around the cache from `first_slot` on."""

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
        """Read prompts into the next slots and choose their first tokens."""
        self.rows += newcomers
        slots = self._slots(range(len(self.rows) - len(newcomers), len(self.rows)))
        logits_BA = self.decoder.read([row.request.prompt for row in newcomers], cache=self.cache, slots=slots)
        return self._choose(logits_BA, newcomers)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Generation]]:
        """One token more for every row."""
        logits_BA = self.decoder.extend(
            [row.tokens[-1] for row in self.rows],
            cache=self.cache,
            slots=self._slots(range(len(self.rows))),
            columns=[row.length - 1 for row in self.rows],
        )
        return self._choose(logits_BA, self.rows)

    def _choose(self, logits_BA: Tensor, rows: Sequence[_Row]) -> list[tuple[int, Generation]]:
        """Append what was chosen, and give back and forget the rows that have come to their end."""
        seeds = np.array([row.request.seed for row in rows], dtype=np.uint64)
        steps = np.array([len(row.tokens) for row in rows], dtype=np.uint64)
        numbers_B = torch.from_numpy(uniform_at(seeds, steps)).to(logits_BA.device)
        chosen_B = choose(logits_BA, sampling=self.sampling, uniform_B=numbers_B)
        if self.ids_A is not None:
            chosen_B = self.ids_A[chosen_B]
        finished: dict[int, Generation] = {}
        for row, token in zip(rows, chosen_B.tolist(), strict=True):
            stopped = token in self.stop
            if not stopped:
                row.tokens.append(token)
            if stopped or len(row.tokens) == row.request.max_new_tokens:
                finished[row.number] = Generation(tokens=row.tokens, stopped=stopped)
        if finished:
            self._close_gaps(finished)
        return list(finished.items())

    def _close_gaps(self, finished: Collection[int]) -> None:
        """Forget finished rows; the oldest of the others move into their slots."""
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
        """Slots of these rows of the batch."""
        return [(self.first_slot + row) % self.num_slots for row in rows]
