"""Sampling of the next token: pure functions of logits and one uniform number per row.

The uniform number of a row depends on its seed and step only. So a request gives the same tokens in any batch, up to
the rounding of matrix products. The inverse of the cumulative distribution turns the number into an id. Cost: a sort of
the vocabulary if `top_p` is below 1.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
