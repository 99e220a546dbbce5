"""The synthesis engine that runs the transformers model in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.inference.generate import Generation, Request, generate_tokens
from megatron_speech.inference.model import LanguageModel
from megatron_speech.inference.sampling import Sampling, allowed_ids
from megatron_speech.text_to_token.engines.interface import EngineError, named_errors
from megatron_speech.text_to_token.prompts import stop_id


@dataclass(frozen=True, kw_only=True)
class TransformersEngine:
    """A `SynthesisEngine` on top of `inference.generate`."""

    model: LanguageModel
    sampling: Sampling
    batch_size: int = 64

    @classmethod
    def load(cls, folder: Path, settings: SynthesisConfig) -> TransformersEngine:
        """Load a text-to-token model from its Hugging Face folder; EngineError if the device is missing."""
        if settings.device != "cpu" and not torch.cuda.is_available():
            raise EngineError(f"synthesis.device={settings.device}: torch sees no GPU here; use cpu, or another node")
        return cls(
            model=LanguageModel.load(folder, dtype=settings.dtype, device=settings.device),
            sampling=Sampling(temperature=settings.temperature, top_p=settings.top_p),
            batch_size=settings.batch_size,
        )

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """See `SynthesisEngine`."""
        vocabulary = self.model.vocabulary
        results = generate_tokens(
            self.model,
            requests,
            sampling=self.sampling,
            stop=[stop_id(vocabulary)],
            allowed=allowed_ids(vocabulary, "speech"),
            batch_size=self.batch_size,
        )
        remedy = "if memory was short, lower synthesis.batch_size; run the same command again"
        with named_errors("transformers", (RuntimeError, MemoryError), remedy):
            yield from results
