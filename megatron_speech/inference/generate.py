"""Continuous batching: a stream of requests in, results out as they finish, a full batch in between.

A row that has finished makes room at once: the last rows move into the gaps, and when an eighth of the batch is free
the next requests are read into it (their prompts in one pass, padded on the right). Requests are taken from a bounded
window, longest prompt first, so that rows of like length run together, memory stays bounded for an endless stream, and
the long ones do not come last.

This loop exists because a request's randomness must not depend on its neighbours, which the loops of transformers
cannot promise, and because of its speed; the network and its attention are those of transformers. A request's numbers
are a function of (its seed, its own step); its logits do not depend on its neighbours but for the rounding of the
matrix products (shapes differ), which can turn a choice only where two ids are equal to within that rounding. Price:
attention reads as many columns as the longest row has, for every row.

Shapes: B rows, S tokens of a prompt, T columns of the cache, D width, A ids that may come.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from megatron_speech.inference.cache import Place, SlotCache
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, choose, uniform

REFILL_AT = 8  # a batch is refilled when one in so many rows is free: a pass over a prompt costs as much as a step
WINDOW_BATCHES = 16  # requests that are read ahead and sorted, in batches
PREFILL_TOKENS = 8192  # of prompts read in one pass, padding included: bounds memory

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


def generate(
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
    network = _Network.of(model, slots=batch_size, allowed_V=allowed)
    batch = _Batch(network, sampling=sampling, stop=frozenset(stop))
    waiting = _longest_first(requests, window=WINDOW_BATCHES * batch_size)
    while True:
        free = batch_size - len(batch.rows)
        newcomers = list(itertools.islice(waiting, free)) if free * REFILL_AT >= batch_size else []
        for rows in _prefills(newcomers):
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


def _longest_first(requests: Iterable[Request], *, window: int) -> Iterator[_Row]:
    """Requests, sorted within consecutive windows; each window is read when the one before it is used up."""
    rows = (_Row(number, request) for number, request in enumerate(requests))
    while block := list(itertools.islice(rows, window)):
        for row in block:
            assert row.request.prompt and row.request.max_new_tokens > 0, f"request {row.number} asks for nothing"
        yield from sorted(block, key=lambda row: -len(row.request.prompt))


def _prefills(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Consecutive rows that are read in one pass."""
    part: list[_Row] = []
    for row in rows:
        longest = max([len(row.request.prompt), *(len(other.request.prompt) for other in part)])
        if part and (len(part) + 1) * longest > PREFILL_TOKENS:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


class _Batch:
    """The requests under way: `rows[n]` lives in slot n of the cache."""

    def __init__(self, network: _Network, *, sampling: Sampling, stop: frozenset[int]) -> None:
        self.network = network
        self.sampling = sampling
        self.stop = stop
        self.rows: list[_Row] = []

    @torch.inference_mode()
    def admit(self, newcomers: list[_Row]) -> list[tuple[int, Generation]]:
        """Read prompts into the next slots and choose their first tokens."""
        logits_BA = self.network.read([row.request.prompt for row in newcomers], first_slot=len(self.rows))
        self.rows += newcomers
        return self._choose(logits_BA, newcomers)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Generation]]:
        """One token more for every row."""
        columns = [len(row.request.prompt) + len(row.tokens) - 1 for row in self.rows]
        logits_BA = self.network.extend([row.tokens[-1] for row in self.rows], columns)
        return self._choose(logits_BA, self.rows)

    def _choose(self, logits_BA: Tensor, rows: Sequence[_Row]) -> list[tuple[int, Generation]]:
        """Append what was chosen, and give back and forget the rows that have come to their end."""
        seeds = np.array([row.request.seed for row in rows], dtype=np.uint64)
        steps = np.array([len(row.tokens) for row in rows], dtype=np.uint64)
        numbers_B = torch.from_numpy(uniform(seeds, steps)).to(logits_BA.device)
        chosen_B = choose(logits_BA, sampling=self.sampling, uniform_B=numbers_B)
        finished: dict[int, Generation] = {}
        for row, token in zip(rows, self.network.ids(chosen_B), strict=True):
            stopped = token in self.stop
            if not stopped:
                row.tokens.append(token)
            if stopped or len(row.tokens) == row.request.max_new_tokens:
                finished[row.number] = Generation(tokens=row.tokens, stopped=stopped)
        if finished:
            self._close_gaps(finished)
        return list(finished.items())

    def _close_gaps(self, finished: Collection[int]) -> None:
        """Forget finished rows; the last of the others move into their slots."""
        num_left = len(self.rows) - len(finished)
        gaps = [slot for slot in range(num_left) if self.rows[slot].number in finished]
        movers = [slot for slot in range(num_left, len(self.rows)) if self.rows[slot].number not in finished]
        for source, target in zip(movers, gaps, strict=True):
            self.rows[target] = self.rows[source]
        self.network.cache.move(movers, gaps)
        del self.rows[num_left:]


@dataclass(frozen=True)
class _Network:
    """The decoder over slots, and its output head over the A ids that may come (of a text vocabulary, a fiftieth)."""

    decoder: nn.Module
    cache: SlotCache
    weight_AD: Tensor
    ids_A: Tensor

    @classmethod
    def of(cls, model: LanguageModel, *, slots: int, allowed_V: Tensor | None) -> _Network:
        head = model.network.get_output_embeddings()
        assert isinstance(head, nn.Linear) and head.bias is None, "the head of this family is not a plain matrix"
        ids = torch.arange(len(head.weight)) if allowed_V is None else allowed_V.nonzero()[:, 0]
        ids = ids.to(model.device)
        cache = SlotCache(num_layers=model.network.config.num_hidden_layers, slots=slots)
        return cls(model.network.get_decoder(), cache, head.weight.detach()[ids], ids)

    def read(self, prompts: Sequence[Sequence[int]], *, first_slot: int) -> Tensor:
        """Logits [B, A] of the token after each prompt; padding follows a prompt, where causal attention ends."""
        longest = max(len(prompt) for prompt in prompts)
        tokens_BS = torch.zeros(len(prompts), longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            tokens_BS[row, : len(prompt)] = torch.tensor(prompt)
        place = Place(rows_B=self._tensor(range(first_slot, first_slot + len(prompts))), shown=longest)
        hidden_BSD = self.decoder(
            input_ids=tokens_BS.to(self.ids_A.device), past_key_values=self.cache.at(place), use_cache=True
        ).last_hidden_state
        last_B = self._tensor([len(prompt) - 1 for prompt in prompts])
        return hidden_BSD[torch.arange(len(prompts), device=last_B.device), last_B] @ self.weight_AD.T

    def extend(self, tokens: Sequence[int], columns: Sequence[int]) -> Tensor:
        """Logits [B, A] after one token more in each of the first B slots, written at its column."""
        columns_B, shown = self._tensor(columns), max(columns) + 1
        place = Place(rows_B=self._tensor(range(len(columns))), columns_B=columns_B, shown=shown)
        hidden_B1D = self.decoder(
            input_ids=self._tensor(tokens)[:, None],
            position_ids=columns_B[:, None],
            attention_mask=self._mask(columns_B, shown),
            past_key_values=self.cache.at(place),
            use_cache=True,
        ).last_hidden_state
        return hidden_B1D[:, 0] @ self.weight_AD.T

    def ids(self, index_B: Tensor) -> list[int]:
        """Ids of the vocabulary from places in the head."""
        return self.ids_A[index_B].tolist()

    def _mask(self, columns_B: Tensor, shown: int) -> Tensor:
        """What is added to attention scores, [B, 1, 1, T]: minus infinity after a row's last column."""
        unused_BT = torch.arange(shown, device=columns_B.device) > columns_B[:, None]
        return self.weight_AD.new_zeros(unused_BT.shape).masked_fill_(unused_BT, -torch.inf)[:, None, None]

    def _tensor(self, values: Iterable[int]) -> Tensor:
        return torch.tensor(list(values), device=self.ids_A.device)
