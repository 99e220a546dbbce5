"""Which utterances a step learns from: a pure function of the seed and of the sources, the same for any world.

Utterances are drawn from the sources in proportion to their weights; each source is read in its own random order, epoch
after epoch. Draws are cut into stretches of `STRETCH_BATCHES` batches. Within one, they are sorted by length, so that
little is padding, and cut into batches of so many padded seconds, which are then shuffled. Ranks divide the utterances
of a batch; they do not choose them. Price: to know a step means to sort its stretch, so a checkpoint keeps a cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.data.plan.order import consumed, largest_remainder
from megatron_speech.data.plan.permutation import permute
from megatron_speech.randomness import named_keys
from megatron_speech.speech_tokenizer.batching import batches_by_length

Ints = NDArray[np.int64]

STRETCH_BATCHES = 32
"""Batches whose utterances are sorted by length together."""
MIN_STRETCH = 400
"""Utterances of a stretch at least."""
SHARE_UNITS = 1 << 20
"""Weights are rounded to this many parts."""


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a step stands in the order."""

    stretch: int = 0
    batch: int = 0
    """Of the stretch."""


@dataclass(frozen=True, kw_only=True)
class StepBatch:
    """The utterances of one step, from all ranks."""

    sources: Ints
    """Number of each utterance's source, [clips]."""
    utterances: Ints
    """Its number there, [clips]."""
    samples: Ints
    """Its duration, ascending, [clips]."""
    after: Cursor
    """Where the next step stands."""

    def __len__(self) -> int:
        return len(self.sources)


class Order:
    """The order of the utterances of sources with `samples` [utterances] each and the given names and weights."""

    def __init__(
        self,
        samples: Sequence[Ints],
        names: Sequence[str],
        weights: Sequence[float],
        *,
        batch_seconds: float,
        seed: int,
    ) -> None:
        self._samples, self._names, self._seed = samples, names, seed
        self._shares = largest_remainder(weights, SHARE_UNITS)
        self._max_total = int(batch_seconds * SAMPLE_RATE)
        means = [float(np.mean(each)) for each in samples]
        mean = sum(share * each for share, each in zip(self._shares, means, strict=True)) / SHARE_UNITS
        self.stretch = max(MIN_STRETCH, int(STRETCH_BATCHES * self._max_total / mean))
        """Draws of a stretch."""

    def draws(self, first: int, last: int) -> tuple[Ints, Ints]:
        """Source and utterance of the draws `first` to `last` - 1, grouped by source."""
        begin, end = consumed(first, self._shares), consumed(last, self._shares)
        sources, utterances = [], []
        for source, (start, stop) in enumerate(zip(begin, end, strict=True)):
            numbers = np.arange(start, stop)
            epochs, positions = np.divmod(numbers, len(self._samples[source]))
            keys = named_keys(self._seed, f"utterances of {self._names[source]}", epochs)
            utterances.append(permute(positions, len(self._samples[source]), keys))
            sources.append(np.full(len(numbers), source))
        return np.concatenate(sources), np.concatenate(utterances)

    def sample(self, count: int) -> Iterator[tuple[int, int]]:
        """The first `count` draws as (source, utterance), mixed as a stretch is."""
        for stretch in range(-(-count // self.stretch)):
            sources, utterances = self.draws(stretch * self.stretch, (stretch + 1) * self.stretch)
            mixed = _shuffled(len(sources), self._seed, "sample", stretch)
            drawn = zip(sources[mixed].tolist(), utterances[mixed].tolist(), strict=True)
            yield from islice(drawn, count - stretch * self.stretch)

    def steps(self, cursor: Cursor) -> Iterator[StepBatch]:
        """The batches from `cursor` on, without end."""
        while True:
            sources, utterances = self.draws(cursor.stretch * self.stretch, (cursor.stretch + 1) * self.stretch)
            samples = np.concatenate(
                [each[utterances[sources == number]] for number, each in enumerate(self._samples)], dtype=np.int64
            )
            batches = batches_by_length(samples.tolist(), max_total=self._max_total)
            places = _shuffled(len(batches), self._seed, "batches", cursor.stretch).tolist()
            for number in range(cursor.batch, len(batches)):
                chosen = batches[places[number]]
                done = number + 1 == len(batches)
                yield StepBatch(
                    sources=sources[chosen],
                    utterances=utterances[chosen],
                    samples=samples[chosen],
                    after=Cursor(stretch=cursor.stretch + done, batch=0 if done else number + 1),
                )
            cursor = Cursor(stretch=cursor.stretch + 1)


def parts_of(batch: StepBatch, *, world_size: int, micro_batch_seconds: float | None) -> list[list[list[int]]]:
    """Places in `batch` by rank and micro-batch: equally many parts for each rank, of similar length and speech.

    A part is at most `micro_batch_seconds` of padded speech, or one utterance; a batch of fewer utterances than ranks
    leaves parts empty.
    """
    most = len(batch)
    if micro_batch_seconds is not None:
        most = max(1, int(micro_batch_seconds * SAMPLE_RATE) // int(batch.samples[-1]))
    per_rank = -(-len(batch) // (most * world_size))
    places = list(range(len(batch)))
    parts = world_size * per_rank
    return [[places[rank + micro * world_size :: parts] for micro in range(per_rank)] for rank in range(world_size)]


def _shuffled(size: int, seed: int, name: str, stretch: int) -> Ints:
    return np.argsort(named_keys(seed, f"{name} of stretch {stretch}", np.arange(size)), kind="stable")
