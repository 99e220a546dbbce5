"""An export, scored and continued by the inference engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from megatron_speech.inference.engine import GenerationEngine, answer_each
from megatron_speech.inference.model import LanguageModel, loaded_model, log_probabilities_and_choices
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.lm_evaluation.network import Enough, Scored
from megatron_speech.platform.number_format import DtypeSetting
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary


@dataclass(frozen=True)
class Export:
    """A `Network` around a Hugging Face folder."""

    model: LanguageModel

    @classmethod
    def load(cls, folder: Path, *, dtype: DtypeSetting, device: str) -> Export:
        """Read the folder; raises as `LanguageModel.load`."""
        return cls(loaded_model(folder, dtype=dtype, device=device)[0])

    @property
    def tokenizer(self) -> TextTokenizer:
        """See `Network`, as for all below."""
        return self.model.tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        """Of the export."""
        return self.model.vocabulary

    @property
    def max_positions(self) -> int:
        """Of the export."""
        return self.model.max_positions

    @property
    def device(self) -> torch.device:
        """Of the export."""
        return self.model.device

    def score(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Scored]:
        """Continuations of the same context share one row."""
        measured = self.model.token_log_probabilities(
            requests, measure=log_probabilities_and_choices, progress="lm_eval: score"
        )
        return [(float(each[:, 0].sum()), bool(each[:, 1].all())) for each in measured]

    def write(
        self, prompts: Sequence[Sequence[int]], settings: AnswerSettings, *, batch_size: int, enough: Enough
    ) -> list[list[int]]:
        """`batch_size` answers are written at a time."""
        longest = max(map(len, prompts)) + settings.max_new_tokens
        engine = GenerationEngine(self.model, slots=min(batch_size, len(prompts)), max_context=longest)
        requests = ((prompt, replace(settings, seed=settings.seed + place)) for place, prompt in enumerate(prompts))
        answers = {place: answer.tokens for place, answer in answer_each(engine, requests, enough=enough)}
        return [answers[place] for place in range(len(prompts))]
