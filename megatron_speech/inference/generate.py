"""Batched generation with a key-value cache: prefill left-padded prompts, then one token per row and step.

Rows are sorted by prompt length and cut into batches, so that padding is small; rows that have stopped are dropped
once they are a quarter of a batch. Every request has its own seed and its own limit (see `sampling`).
This loop exists because a request's seed must not depend on its neighbours, which the loop of transformers cannot
promise; the network, its attention and its cache are those of transformers. Price: no refilling of finished rows (a
serving engine does that).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import Cache

from megatron_speech.inference.cache import keep_rows, preallocated_cache
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, choose, uniform

KEEP_ROWS_ABOVE = 0.75  # of a batch still going: below it, copying the rest is cheaper than computing for the dead


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
    """Continue every request, in order; `allowed` (bool [V]) restricts the ids that may come, stop ids included."""
    for number, request in enumerate(requests):
        assert request.prompt and request.max_new_tokens > 0, f"{number=}: empty prompt or nothing to generate"
    head = _Head.of(model, allowed)
    results = [Generation() for _ in requests]
    order = sorted(range(len(requests)), key=lambda number: -len(requests[number].prompt))
    with tqdm(total=len(requests), desc="generate", unit="request", disable=not progress) as bar:
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            batch = [requests[number] for number in numbers]
            made = _generate_batch(model, head, batch, sampling=sampling, stop=frozenset(stop))
            for number, generation in zip(numbers, made, strict=True):
                results[number] = generation
            bar.update(len(numbers))
    return results


@torch.inference_mode()
def _generate_batch(
    model: LanguageModel, head: _Head, requests: Sequence[Request], *, sampling: Sampling, stop: frozenset[int]
) -> list[Generation]:
    """One batch from prefill to the last stop."""
    tokens: list[list[int]] = [[] for _ in requests]
    stopped = [False] * len(requests)
    live = list(range(len(requests)))  # request of each row of the network's batch
    rows = _Rows.of(requests, model)
    seeds = np.array([request.seed for request in requests], dtype=np.uint64)

    def is_going(number: int) -> bool:
        return not stopped[number] and len(tokens[number]) < requests[number].max_new_tokens

    for step in range(max(request.max_new_tokens for request in requests)):
        logits_BA = head.logits(rows.forward(model))
        numbers = torch.from_numpy(uniform(seeds[live], step)).to(model.device)
        chosen_B = head.ids(choose(logits_BA, sampling=sampling, uniform_B=numbers))
        for number, token in zip(live, chosen_B.tolist(), strict=True):
            if is_going(number):
                if token in stop:
                    stopped[number] = True
                else:
                    tokens[number].append(token)
        going = [row for row, number in enumerate(live) if is_going(number)]
        if not going:
            break
        rows.tokens_BS = chosen_B[:, None]
        if len(going) <= KEEP_ROWS_ABOVE * len(live):
            rows.keep(going)
            live = [live[row] for row in going]
    return [Generation(tokens=ids, stopped=end) for ids, end in zip(tokens, stopped, strict=True)]


@dataclass(frozen=True)
class _Head:
    """The output head over the A ids that may come: with speech alone, a fiftieth of a large text vocabulary."""

    weight_AD: Tensor
    ids_A: Tensor

    @classmethod
    def of(cls, model: LanguageModel, allowed_V: Tensor | None) -> _Head:
        head = model.network.get_output_embeddings()
        assert isinstance(head, nn.Linear) and head.bias is None, "the head of this family is not a plain matrix"
        ids = torch.arange(len(head.weight)) if allowed_V is None else allowed_V.nonzero()[:, 0]
        ids = ids.to(model.device)
        return cls(head.weight.detach() if allowed_V is None else head.weight.detach()[ids], ids)

    def logits(self, hidden_BD: Tensor) -> Tensor:
        return hidden_BD @ self.weight_AD.T

    def ids(self, index_B: Tensor) -> Tensor:
        return self.ids_A[index_B]


@dataclass
class _Rows:
    """What the network is to read next, and what it remembers: B rows, S new tokens, T tokens in all."""

    tokens_BS: Tensor
    mask_BT: Tensor
    cache: Cache

    @classmethod
    def of(cls, requests: Sequence[Request], model: LanguageModel) -> _Rows:
        """Prompts padded on the left, so that every row's next token is in the last column."""
        length = max(len(request.prompt) for request in requests)
        tokens = torch.zeros(len(requests), length, dtype=torch.long)
        mask = torch.zeros(len(requests), length, dtype=torch.long)
        for row, request in enumerate(requests):
            tokens[row, length - len(request.prompt) :] = torch.tensor(request.prompt)
            mask[row, length - len(request.prompt) :] = 1
        capacity = length + max(request.max_new_tokens for request in requests)
        cache = preallocated_cache(num_layers=model.network.config.num_hidden_layers, capacity=capacity)
        return cls(tokens.to(model.device), mask.to(model.device), cache)

    def forward(self, model: LanguageModel) -> Tensor:
        """Last hidden state of every row, [B, D]; the mask grows by the column that will follow."""
        new = self.tokens_BS.shape[1]
        positions_BS = (self.mask_BT.cumsum(dim=1) - 1).clamp(min=0)[:, -new:]
        hidden_BSD = model.network.get_decoder()(
            input_ids=self.tokens_BS,
            attention_mask=self.mask_BT,
            position_ids=positions_BS,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        self.mask_BT = torch.cat([self.mask_BT, self.mask_BT.new_ones(len(self.mask_BT), 1)], dim=1)
        return hidden_BSD[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but these."""
        index = torch.tensor(rows, device=self.tokens_BS.device)
        self.tokens_BS = self.tokens_BS[index]
        self.mask_BT = self.mask_BT[index]
        keep_rows(self.cache, index)
