"""What the adapter needs of a model: an export, or a checkpoint over the ranks of a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

Scored = tuple[float, bool]
"""Log-likelihood of a continuation (nats), and whether every id of it is the most likely one."""
Enough = Callable[[int, Sequence[int]], bool]
"""Whether the answer at a place need not go on, from its ids so far."""


class Network(Protocol):
    """A model that scores and writes ids."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of the text ids."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of all ids."""

    @property
    def max_positions(self) -> int:
        """Longest sequence."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    def score(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Scored]:
        """Score the continuation of each (context, continuation), in order; neither is empty."""

    def write(
        self, prompts: Sequence[Sequence[int]], settings: AnswerSettings, *, batch_size: int, enough: Enough
    ) -> list[list[int]]:
        """Continue each prompt, without the stop id; prompt number n has the seed of `settings` plus n."""
