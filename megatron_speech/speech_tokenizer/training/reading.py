"""Reads and decodes the clips of the next steps in threads, while the current step computes.

Every rank reads its own micro-batches only. An error is raised at the step of the clip that caused it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import tee

import torch
import torch.distributed as dist

from megatron_speech.audio.rates import SpeechRates
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.data.reading.read_ahead import read_ahead
from megatron_speech.speech_tokenizer.model import TextSide
from megatron_speech.speech_tokenizer.training.augment import generator_of, with_noise
from megatron_speech.speech_tokenizer.training.order import Cursor, Order, StepBatch, parts_of
from megatron_speech.speech_tokenizer.training.sources import Source
from megatron_speech.speech_tokenizer.training.states import KeptStates

MICROBATCHES_AHEAD = 4


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


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """A micro-batch of one rank, before it is read."""

    step: int
    batch: StepBatch
    places: list[int]
    """Places of its clips in the batch; empty if there are fewer clips than ranks."""


@dataclass(frozen=True, kw_only=True)
class Clips:
    """A micro-batch after it is read."""

    clips: list[Clip] = field(default_factory=list)
    counts: bool = True
    """False if there are fewer clips than ranks: this rank then computes the first clip with weight 0, to stay in step
    with the others."""
    failed: Exception | None = None
    """Error that prevented reading."""


class Feed:
    """Yields the batches of a training, with the micro-batches that this rank reads."""

    def __init__(
        self,
        config: TrainSpeechTokenizerConfig,
        text: TextSide,
        sources: list[Source],
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

    def steps(self, first: int, cursor: Cursor) -> Generator[tuple[StepBatch, list[Clips]], None, None]:
        """Yield the batches from step `first` (at `cursor`) to the last, with this rank's micro-batches."""
        steps, batches = tee(zip(range(first, self._config.steps), self.order.steps(cursor), strict=False))
        parts = (
            [MicroBatch(step=step, batch=batch, places=places) for places in self._mine(batch)] for step, batch in steps
        )
        read = read_ahead(parts, self._read, microbatches=MICROBATCHES_AHEAD, threads=self._config.read_threads)
        for (_, batch), micros in zip(batches, read, strict=True):
            yield batch, micros

    def wave(self, source: int, utterance: int) -> torch.Tensor:
        """Samples [N] of an utterance, without noise."""
        return torch.from_numpy(self.sources[source].index.waveform(utterance))

    def states(self, source: int, utterance: int) -> torch.Tensor | None:
        """Cached states after pooling, [T, D] float16; None without a cache."""
        return self._kept.get(source, utterance) if self._kept is not None else None

    def _mine(self, batch: StepBatch) -> list[list[int]]:
        parts = parts_of(batch, world_size=dist.get_world_size(), micro_batch_seconds=self._config.micro_batch_seconds)
        return parts[dist.get_rank()]

    def _read(self, part: MicroBatch) -> Clips:
        try:
            clips = [self._clip(part, place) for place in part.places or [0]]
        except (ValueError, OSError) as error:
            return Clips(failed=error)
        return Clips(clips=clips, counts=bool(part.places))

    def _clip(self, part: MicroBatch, place: int) -> Clip:
        source, utterance = int(part.batch.sources[place]), int(part.batch.utterances[place])
        transcript = self._text.encode(self.sources[source].index.text(utterance))
        if self._kept is not None and not front_learns(self._config, part.step):
            return Clip(place=place, transcript=transcript, states_TD=self._kept.get(source, utterance))
        wave_N = self.wave(source, utterance)
        if self._config.augment.noise_probability:
            generator = generator_of(self._config.seed, part.step, 2 * place)
            wave_N = with_noise(wave_N, self._config.augment, generator)
        return Clip(place=place, transcript=transcript, waveform_N=wave_N)


def front_learns(config: TrainSpeechTokenizerConfig, step: int) -> bool:
    """Whether the layers before the pooling are trained in `step`."""
    return config.unfreeze_at_step is not None and step >= config.unfreeze_at_step
