"""Holds the models and tokenizers of a worker, each loaded at its first use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain

import numpy as np

from megatron_speech.artifacts.facts.interleaved import NoiseRow
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.interleave.compose import Composed, Piece, compose_batch, cut_document
from megatron_speech.interleave.noise import SpanSample
from megatron_speech.interleave.stream import Codes, Rendering
from megatron_speech.speech_tokenizer.interface import CodeRecognizer
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer
from megatron_speech.text_to_token.synthesize import Synthesizer
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary


class Models:
    """Models and tokenizers of one process, with the operations of interleaving on them."""

    def __init__(self, config: BuildInterleavedConfig) -> None:
        self._config = config
        self._counted: Counter[str] = Counter()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of the interleaved documents."""
        return Vocabulary.load(self._config.vocabulary)

    @cached_property
    def _text_tokenizer(self) -> TextTokenizer:
        return TextTokenizer.load(self._config.vocabulary)

    @cached_property
    def _synthesizer(self) -> Synthesizer:
        return Synthesizer.load(self._config.model, self._config.synthesis, language=self._config.speakable.language)

    @cached_property
    def _recognizer(self) -> CodeRecognizer:
        assert self._config.noise is not None
        folder = self._config.noise.speech_tokenizer
        recognizer = load_speech_tokenizer(folder).recognizer
        if recognizer is None:
            raise ValueError(
                f"noise.speech_tokenizer={folder} holds its encoder only and cannot recognise; use the folder of the "
                "whole tokenizer, or noise: null"
            )
        return recognizer

    def cut(self, rendering: Rendering) -> tuple[list[Piece], Counter[str]]:
        """Cut a text into pieces; also counts its units by whether they are speakable."""
        units: Counter[str] = Counter()
        pieces = cut_document(
            rendering.text,
            key=rendering.key,
            seed=self._config.seed,
            spans=self._config.spans,
            speakable=self._config.speakable,
            token_ends=self._text_tokenizer.token_ends if self._config.spans.unit == "tokens" else None,
            counts=units,
        )
        return pieces, units

    def compose(self, documents: Sequence[tuple[list[Piece], Codes]]) -> list[Composed]:
        """Lay out the pieces and codes of each document as tokens."""
        return compose_batch(
            documents,
            encode_batch=self._text_tokenizer.encode_batch,
            vocabulary=self.vocabulary,
            boundary=self._config.boundary,
        )

    def speak(self, spans: Iterable[tuple[str, str]]) -> Iterator[tuple[int, np.ndarray | None]]:
        """Synthesise (key, reading) items; yields (place, codes or None). Without items, no model is loaded."""
        waiting = iter(spans)
        first = next(waiting, None)
        if first is not None:
            yield from self._synthesizer.stream(chain([first], waiting), self._config.seed)

    def work(self) -> dict[str, int]:
        """Counts of `Synthesizer.counts` since the last call."""
        counts = Counter(self._synthesizer.counts if "_synthesizer" in self.__dict__ else {})
        new, self._counted = counts - self._counted, counts
        return dict(new)

    def forget(self) -> None:
        """Drop the synthesizer after its engine failed; the next use loads it again."""
        self.__dict__.pop("_synthesizer", None)
        self._counted.clear()

    def sample(self) -> SpanSample | None:
        """Start the noise sample of a shard; None if noise is not measured."""
        noise = self._config.noise
        if noise is None:
            return None
        return SpanSample(noise.spans_per_shard, seed=self._config.seed, max_codes=self._recognizer.max_codes)

    def read_back(self, sample: SpanSample | None, *, shard: str) -> list[NoiseRow]:
        """Recognise the sampled spans of a shard; empty without a sample."""
        if sample is None:
            return []
        return sample.read_back(self._recognizer, language=self._config.speakable.language, shard=shard)
