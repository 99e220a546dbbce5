"""The clips of a training of the speech tokenizer: transcripts, and cached states or samples."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from megatron_speech.audio.rates import SpeechRates
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.speech_tokenizer.model import TextSide
from megatron_speech.speech_tokenizer.training.augment import generator_of, with_noise
from megatron_speech.speech_tokenizer.training.states import KeptStates
from megatron_speech.speech_training.feed import Clips
from megatron_speech.speech_training.feed import Feed as Batches
from megatron_speech.speech_training.order import Cursor, Order, StepBatch
from megatron_speech.speech_training.scan import ScannedSource


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One training utterance: transcript, and either cached states or samples."""

    place: int
    """Place in the batch of all ranks."""
    transcript: list[int]
    """Text ids."""
    states_TD: torch.Tensor | None = None
    """Cached states after pooling, float16."""
    waveform_N: torch.Tensor | None = None
    """Samples, with noise if configured."""

    def num_frames(self, rates: SpeechRates) -> int:
        """Number of frames after pooling, one for each code."""
        if self.states_TD is not None:
            return len(self.states_TD)
        assert self.waveform_N is not None, "a clip holds states or samples"
        return rates.tokens(len(self.waveform_N))


class Feed:
    """Yields the batches of a training, with the micro-batches that this rank reads."""

    def __init__(
        self,
        config: TrainSpeechTokenizerConfig,
        text: TextSide,
        sources: list[ScannedSource],
        kept: KeptStates | None,
    ) -> None:
        self._config, self._text = config, text
        self.sources, self._kept = sources, kept
        self.order = Order(
            [source.index.samples for source in sources],
            [source.name for source in sources],
            [source.weight for source in sources],
            batch_seconds=config.batch_seconds,
            seed=config.seed,
        )

    def steps(self, first: int, cursor: Cursor) -> Generator[tuple[StepBatch, list[Clips[Clip]]], None, None]:
        """Yield the batches from step `first` (at `cursor`) to the last, with this rank's micro-batches."""
        feed = Batches(
            order=self.order,
            steps=self._config.steps,
            micro_batch_seconds=self._config.micro_batch_seconds,
            threads=self._config.read_threads,
            clip=self._clip,
        )
        return feed.batches(first, cursor)

    def wave(self, source: int, utterance: int) -> torch.Tensor:
        """Samples [N] of an utterance, without noise."""
        return torch.from_numpy(self.sources[source].index.waveform(utterance))

    def states(self, source: int, utterance: int) -> torch.Tensor | None:
        """Cached states after pooling, [T, D] float16; None without a cache."""
        return self._kept.get(source, utterance) if self._kept is not None else None

    def _clip(self, step: int, batch: StepBatch, place: int) -> Clip:
        source, utterance = int(batch.sources[place]), int(batch.utterances[place])
        transcript = self._text.encode(self.sources[source].index.text(utterance))
        if self._kept is not None and not front_learns(self._config, step):
            return Clip(place=place, transcript=transcript, states_TD=self._kept.get(source, utterance))
        wave_N = self.wave(source, utterance)
        if self._config.augment.noise_probability:
            generator = generator_of(self._config.seed, step, 2 * place)
            wave_N = with_noise(wave_N, self._config.augment, generator)
        return Clip(place=place, transcript=transcript, waveform_N=wave_N)


def front_learns(config: TrainSpeechTokenizerConfig, step: int) -> bool:
    """Whether the layers before the pooling are trained in `step`."""
    return config.unfreeze_at_step is not None and step >= config.unfreeze_at_step
