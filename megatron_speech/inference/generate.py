"""Batched generation with a key-value cache: prefill left-padded prompts, then one token per row and step.

Rows are sorted by prompt length and cut into batches, so that padding is small; rows that have stopped are dropped
from the cache once they are half of a batch. Every request has its own seed and its own limit (see `sampling`).
This loop exists because a request's seed must not depend on its neighbours, which the loop of transformers cannot
promise; the network, its attention and its cache are those of transformers. Price: no refilling of finished rows (a
serving engine does that).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache

from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, choose, uniform


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
    requests: Sequence[Request],
    *,
    sampling: Sampling,
    stop: Collection[int],
    allowed: Tensor | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> list[Generation]:
    """Continue every request, in order; `allowed` (bool [V]) restricts the ids that may come."""
    for number, request in enumerate(requests):
        assert request.prompt and request.max_new_tokens > 0, f"{number=}: empty prompt or nothing to generate"
    forbidden = None if allowed is None else ~allowed.to(model.device)
    results = [Generation() for _ in requests]
    order = sorted(range(len(requests)), key=lambda number: -len(requests[number].prompt))
    with tqdm(total=len(requests), desc="generate", unit="request", disable=not progress) as bar:
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            batch = [requests[number] for number in numbers]
            made = _generate_batch(model, batch, sampling=sampling, stop=frozenset(stop), forbidden=forbidden)
            for number, generation in zip(numbers, made, strict=True):
                results[number] = generation
            bar.update(len(numbers))
    return results


@torch.inference_mode()
def _generate_batch(
    model: LanguageModel,
    requests: Sequence[Request],
    *,
    sampling: Sampling,
    stop: frozenset[int],
    forbidden: Tensor | None,
) -> list[Generation]:
    """One batch from prefill to the last stop."""
    tokens: list[list[int]] = [[] for _ in requests]
    stopped = [False] * len(requests)
    live = list(range(len(requests)))
    rows = _Rows.of(requests, model.device)
    seeds = np.array([request.seed for request in requests], dtype=np.uint64)
    for step in range(max(request.max_new_tokens for request in requests)):
        logits_BV = rows.forward(model)
        if forbidden is not None:
            logits_BV = logits_BV.masked_fill(forbidden, float("-inf"))
        numbers = torch.from_numpy(uniform(seeds[live], step)).to(model.device)
        chosen = choose(logits_BV, sampling=sampling, uniform_B=numbers)
        for number, token in zip(live, chosen.tolist(), strict=True):
            if len(tokens[number]) == requests[number].max_new_tokens or stopped[number]:
                continue  # already done, waiting to be dropped
            if token in stop:
                stopped[number] = True
            else:
                tokens[number].append(token)
        going = [
            index
            for index, number in enumerate(live)
            if not stopped[number] and len(tokens[number]) < requests[number].max_new_tokens
        ]
        if not going:
            break
        rows.tokens_BS = chosen[:, None]
        if 2 * len(going) <= len(live):
            rows.keep(going)
            live = [live[index] for index in going]
    return [Generation(tokens=ids, stopped=end) for ids, end in zip(tokens, stopped, strict=True)]


@dataclass
class _Rows:
    """What the network is to read next, and what it remembers: B rows, S new tokens, T tokens in all."""

    tokens_BS: Tensor
    mask_BT: Tensor
    cache: DynamicCache

    @classmethod
    def of(cls, requests: Sequence[Request], device: torch.device) -> _Rows:
        """Prompts padded on the left, so that every row's next token is in the last column."""
        length = max(len(request.prompt) for request in requests)
        tokens = torch.zeros(len(requests), length, dtype=torch.long)
        mask = torch.zeros(len(requests), length, dtype=torch.long)
        for row, request in enumerate(requests):
            tokens[row, length - len(request.prompt) :] = torch.tensor(request.prompt)
            mask[row, length - len(request.prompt) :] = 1
        return cls(tokens.to(device), mask.to(device), DynamicCache())

    def forward(self, model: LanguageModel) -> Tensor:
        """Logits of the last column, [B, V]; the mask grows by the column that will follow."""
        new = self.tokens_BS.shape[1]
        positions = (self.mask_BT.cumsum(dim=1) - 1).clamp(min=0)[:, -new:]
        logits = model.network(
            input_ids=self.tokens_BS,
            attention_mask=self.mask_BT,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self.mask_BT = torch.cat([self.mask_BT, self.mask_BT.new_ones(len(self.mask_BT), 1)], dim=1)
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but these."""
        index = torch.tensor(rows, device=self.tokens_BS.device)
        self.tokens_BS = self.tokens_BS[index]
        self.mask_BT = self.mask_BT[index]
        self.cache.batch_select_indices(index)
