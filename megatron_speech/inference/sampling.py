"""Sampling of the next token: pure functions of logits and one uniform number per row, and which ids may come.

The uniform number of a row depends on its seed and step only. So a request gives the same tokens in any batch, up to
the rounding of matrix products. The inverse of the cumulative distribution turns the number into an id. Cost: a sort of
the vocabulary if `top_p` is below 1.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megatron_speech.randomness import uniform_at
from megatron_speech.vocabulary import END_OF_AUDIO, Modality, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings of sampling: greedy at temperature 0, else nucleus sampling."""

    temperature: float = 1.0
    """Divisor of the logits; 0 takes the most likely id."""
    top_p: float = 1.0
    """Probability of the nucleus, the smallest set of most likely ids that reaches it; 1 keeps all ids."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"sampling.temperature={self.temperature} must not be negative; 0 is greedy")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sampling.top_p={self.top_p} must lie in (0, 1]; 1 keeps every id")


@dataclass(frozen=True, eq=False)
class IdSet:
    """Ids that may come next. Make each set once: what is prepared for it is kept as long as the object."""

    ids_A: Tensor

    @classmethod
    def of(cls, mask_V: Tensor) -> IdSet:
        """Make a set from a mask such as `allowed_ids` gives; ValueError if it is empty."""
        if not mask_V.any():
            raise ValueError("allowed: no id is allowed; allow at least one")
        return cls(mask_V.nonzero()[:, 0])


# One set for all tokens of an answer, or a function from the tokens so far to the set of the next one.
Allowed = IdSet | Callable[[Sequence[int]], IdSet]


def next_ids(
    logits_BA: Tensor, *, ids_A: Tensor | None, sampling: Sampling, seeds: Sequence[int], steps: Sequence[int]
) -> list[int]:
    """Choose the next id of every row; `ids_A` are the ids of the columns, None if column n is id n.

    The random number of a row depends on its seed and its step, the number of tokens that it made before.
    """
    uniform = uniform_at(np.array(seeds, dtype=np.uint64), np.array(steps, dtype=np.uint64))
    chosen_B = choose(logits_BA, sampling=sampling, uniform_B=torch.from_numpy(uniform).to(logits_BA.device))
    chosen: list[int] = (chosen_B if ids_A is None else ids_A[chosen_B]).tolist()
    return chosen


def choose(logits_BV: Tensor, *, sampling: Sampling, uniform_B: Tensor) -> Tensor:
    """Choose the next id of every row, int64 [B]; greedy choice ignores `uniform_B` (in [0, 1))."""
    if sampling.temperature == 0:
        return logits_BV.argmax(dim=-1)
    probability_BV = torch.softmax(logits_BV.float() / sampling.temperature, dim=-1)
    order_BV = None
    if sampling.top_p < 1:
        probability_BV, order_BV = probability_BV.sort(dim=-1, descending=True)
        before_BV = probability_BV.cumsum(dim=-1) - probability_BV
        probability_BV = probability_BV.masked_fill(before_BV >= sampling.top_p, 0.0)
    cumulative_BV = probability_BV.double().cumsum(dim=-1)
    # Take the first id whose cumulative probability exceeds the threshold: an id of probability 0 is never chosen.
    threshold_B1 = (uniform_B.double() * cumulative_BV[:, -1])[:, None]
    index_B1 = torch.searchsorted(cumulative_BV, threshold_B1, right=True)
    index_B1 = index_B1.clamp(max=logits_BV.shape[-1] - 1)
    return (index_B1 if order_BV is None else order_BV.gather(1, index_B1))[:, 0]


def allowed_ids(vocabulary: Vocabulary, modality: Modality) -> Tensor:
    """Mask of the ids that may be generated in `modality`, bool [V].

    Speech: every speech id and the end of audio. Text: every text id, including the end of the document.
    """
    ids = torch.arange(vocabulary.size)
    allowed: Tensor = vocabulary.speech_mask(ids) if modality == "speech" else vocabulary.text_mask(ids)
    if modality == "speech":
        allowed[vocabulary.special_id(END_OF_AUDIO)] = True
    return allowed
